#!/usr/bin/env bash
# Both stages and the comparison, on one prepared task.
#
#   launch/two_stage.sh TASK RUNS [RECIPE] [ACCELERATE_CONFIG]
#   launch/two_stage.sh prepared/diabetes130 runs/diabetes130 tiny launch/accelerate/cpu.yaml
set -euo pipefail
if [ $# -lt 2 ]; then
  sed -n '2,5p' "$0" | cut -c3-
  exit 2
fi
task=$1
runs=$2
recipe=${3:-tiny}
engine=${4:-launch/accelerate/single_gpu.yaml}
cd "$(dirname "$0")/.."

run() { # run NAME COMMAND...: skip what has finished
  local result=$1
  shift
  if [ -e "$result" ]; then echo "finished before: $result"; else "$@"; fi
}

run "$runs/memorize" accelerate launch --config_file "$engine" memorize/train.py \
  --config "configs/memorize/$recipe.yaml" --task "$task" --output "$runs/memorize"
run "$runs/stage-two" accelerate launch --config_file "$engine" rank/train.py \
  --config "configs/rank/$recipe.yaml" --model.base "$runs/memorize/checkpoint" --task "$task" --output "$runs/stage-two"
run "$runs/popularity" mera baselines --task "$task" --output "$runs"
predictions=()
for folder in "$runs"/*/predictions; do predictions+=("$(dirname "$folder")"); done
rm -rf "$runs/report"
mera report "${predictions[@]}" --output "$runs/report"
