#!/usr/bin/env bash
# Both stages and the comparison, on one prepared task.
#
#   launch/two_stage.sh TASK RUNS [RECIPE] [ACCELERATE_CONFIG]
#   launch/two_stage.sh prepared/diabetes130 runs/diabetes130 tiny launch/accelerate/cpu.yaml
#
# MERA_PROCESSES=8 sets the number of processes, instead of the one in ACCELERATE_CONFIG. SIGTERM or Ctrl-C saves and
# stops; the same command goes on from there.
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
stopping=
stop() { # to all processes of what is running: the launcher of a single one does not hand signals on
  stopping=1
  if [ -n "$running" ]; then kill -TERM -- "-$running" 2>/dev/null || true; fi
}
trap stop INT TERM
set -m # each command is a process group of its own
run() { # run RESULT COMMAND...: skip what has finished; hand SIGTERM on and wait until it has saved
  local result=$1 code=0
  shift
  if [ -n "$stopping" ]; then return 143; fi
  if [ -e "$result" ]; then
    echo "finished before: $result"
    return
  fi
  (
    trap '' INT TERM # the launcher waits for its process, which listens
    exec "$@"
  ) &
  running=$!
  if [ -n "$stopping" ]; then stop; fi
  while kill -0 "$running" 2>/dev/null; do wait "$running" || true; done # a trapped signal ends `wait` too early
  wait "$running" || code=$?
  running=
  return "$code"
}

run "$runs/memorize" "${launcher[@]}" memorize/train.py \
  --config "configs/memorize/$recipe.yaml" --task "$task" --output "$runs/memorize"
run "$runs/stage-two" "${launcher[@]}" rank/train.py \
  --config "configs/rank/$recipe.yaml" --model.base "$runs/memorize/checkpoint" --task "$task" --output "$runs/stage-two"
run "" mera baselines --task "$task" --output "$runs"
predictions=()
for folder in "$runs"/*/predictions; do predictions+=("$(dirname "$folder")"); done
mera report "${predictions[@]}" --output "$runs/report"
