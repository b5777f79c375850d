#!/usr/bin/env bash
# The table of the eICU demo in docs/events.md: bash docs/reproduce/eicu-events.sh eicu-crd-demo/2.0.1
# Half an hour on one core. What has finished is kept: start it again to go on.
set -euo pipefail
input=$1
task=prepared/eicu-events runs=runs/eicu-events
finished() { [ -e "$1" ]; }

finished $task-fold0 || mera prepare eicu --input "$input" --events procedures,drugs --granularity category --every-visit --first-visits --protocol kfold --candidates all --output $task
# One stage one for all folds, which have the same candidates: it reads codes and no patient.
finished $runs/memorize || mera memorize --recipe tiny --task $task-fold0 --output $runs/memorize
for fold in 0 1 2 3 4; do
    for arm in "with true 32" "without false 0"; do
        read -r name events most <<<"$arm"
        mera baselines --task $task-fold$fold --events "$events" --only linear ease wide gbdt --output $runs/$name/fold$fold
        finished $runs/$name/fold$fold/stage-two || mera rank --recipe tiny --training.min_steps 600 --training.evaluate_every 100 --model.base $runs/memorize/checkpoint --prompt.max_events "$most" --task $task-fold$fold --output $runs/$name/fold$fold/stage-two
    done
done
python tests/benchmarks/bench_events.py $runs/with $runs/without
