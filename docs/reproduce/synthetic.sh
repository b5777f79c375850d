#!/usr/bin/env bash
# The synthetic cohort of docs/results.md, by the recipe tiny (the demo's recipe is smaller): bash docs/reproduce/synthetic.sh
# About 20 minutes on one core.
set -euo pipefail
task=prepared/synthetic runs=runs/synthetic
finished() { [ -e "$1" ]; }

finished $task-diagnosis || mera prepare synthetic --kind diagnosis --every-visit --first-visits --output $task-diagnosis
finished $runs/memorize || mera memorize --recipe tiny --task $task-diagnosis --output $runs/memorize
finished $runs/stage-two || mera rank --recipe tiny --model.base $runs/memorize/checkpoint --task $task-diagnosis --output $runs/stage-two
mera baselines --task $task-diagnosis --output $runs
mera report $runs/stage-two $runs/oracle $runs/gbdt $runs/linear $runs/own-history $runs/popularity --output report/synthetic
