#!/usr/bin/env bash
# The table of Diabetes-130 in docs/results.md: bash docs/reproduce/diabetes130.sh diabetic_data.csv
# About two hours on one CPU core. What has finished is kept: start it again to go on. SEED=1 trains stage two with another.
set -euo pipefail
input=$1
task=prepared/diabetes130 runs=runs/diabetes130 seed=${SEED:-0}
finished() { [ -e "$1" ]; }

finished $task || mera prepare diabetes130 --input "$input" --output $task --every-visit --first-visits --candidates all
finished $runs/memorize || mera memorize --recipe tiny --task $task --output $runs/memorize
finished $runs/stage-two-seed-"$seed" || mera rank --recipe tiny --model.base $runs/memorize/checkpoint --task $task --output $runs/stage-two-seed-"$seed" --training.seed "$seed"
finished $runs/laa_mrl || mera retrieve --recipe tiny --variant laa_mrl --task $task --output $runs/laa_mrl --training.epochs 1
mera baselines --task $task --output $runs
mera report $runs/stage-two-seed-* $runs/laa_mrl $runs/gbdt $runs/linear $runs/retain $runs/ease $runs/item-knn $runs/transformer $runs/own-history $runs/popularity --output report/diabetes130
