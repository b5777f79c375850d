#!/usr/bin/env bash
# The table of docs/events.md: bash docs/reproduce/events.sh eicu-crd-demo/2.0.1 diabetic_data.csv
# About an hour on one core. What has finished is kept: start it again to go on.
set -euo pipefail
eicu=$1 diabetes=$2
tasks=prepared/events runs=runs/events
finished() { [ -e "$1" ]; }

finished $tasks-eicu-fold0 || mera prepare eicu --input "$eicu" --events procedures,drugs --granularity category --every-visit --first-visits --protocol kfold --candidates all --output $tasks-eicu
# One stage one for all folds, which have the same candidates: it reads codes and no patient.
finished $runs/eicu/memorize || mera memorize --recipe tiny --task $tasks-eicu-fold0 --output $runs/eicu/memorize
finished $tasks-diabetes130 || mera prepare diabetes130 --input "$diabetes" --events drugs,labs --every-visit --first-visits --candidates all --output $tasks-diabetes130
for arm in "with true 32" "without false 0"; do
    read -r name events most <<<"$arm"
    for fold in 0 1 2 3 4; do
        mera baselines --task $tasks-eicu-fold$fold --events "$events" --only linear ease wide gbdt --output $runs/eicu/$name/fold$fold
        finished $runs/eicu/$name/fold$fold/stage-two || mera rank --recipe tiny --training.min_steps 600 --training.evaluate_every 100 --model.base $runs/eicu/memorize/checkpoint --prompt.max_events "$most" --task $tasks-eicu-fold$fold --output $runs/eicu/$name/fold$fold/stage-two
    done
    mera baselines --task $tasks-diabetes130 --events "$events" --only linear ease wide gbdt --output $runs/diabetes130/$name/fold0
done
for cohort in eicu diabetes130; do
    python tests/benchmarks/bench_events.py $runs/$cohort/with $runs/$cohort/without
done
