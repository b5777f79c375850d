#!/usr/bin/env bash
# Both stages and the comparison, on one prepared task.
#
#   launch/two_stage.sh TASK RUNS [RECIPE] [ACCELERATE_CONFIG]
#   launch/two_stage.sh prepared/diabetes130 runs/diabetes130 tiny launch/accelerate/cpu.yaml
#
# MERA_PROCESSES=8 sets the number of processes, instead of the one in ACCELERATE_CONFIG. SIGTERM saves and stops; the
# same command goes on from there.
set -euo pipefail
if [ $# -lt 2 ]; then
  sed -n '4,5p' "$0" | cut -c3-
  exit 2
fi
task=$1
runs=$2
recipe=${3:-tiny}
engine=${4:-launch/accelerate/single_gpu.yaml}
cd "$(dirname "$0")/.."

launcher=(accelerate launch --config_file "$engine")
if [ -n "${MERA_PROCESSES:-}" ]; then launcher+=(--num_processes "$MERA_PROCESSES"); fi

running=
trap 'if [ -n "$running" ]; then kill -TERM "$running"; fi' TERM
run() { # run NAME COMMAND...: skip what has finished; hand SIGTERM on and wait until it has saved
  local result=$1 code=0
  shift
  if [ -e "$result" ]; then
    echo "finished before: $result"
    return
  fi
  "$@" &
  running=$!
  wait "$running" || code=$?
  while kill -0 "$running" 2>/dev/null; do
    code=0
    wait "$running" || code=$?
  done
  running=
  return "$code"
}

run "$runs/memorize" "${launcher[@]}" memorize/train.py \
  --config "configs/memorize/$recipe.yaml" --task "$task" --output "$runs/memorize"
run "$runs/stage-two" "${launcher[@]}" rank/train.py \
  --config "configs/rank/$recipe.yaml" --model.base "$runs/memorize/checkpoint" --task "$task" --output "$runs/stage-two"
run "$runs/popularity" mera baselines --task "$task" --output "$runs"
predictions=()
for folder in "$runs"/*/predictions; do predictions+=("$(dirname "$folder")"); done
rm -rf "$runs/report"
mera report "${predictions[@]}" --output "$runs/report"
