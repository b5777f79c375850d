#!/usr/bin/env bash
# The table of the eICU demo in docs/results.md: bash docs/reproduce/eicu-demo.sh eicu-collaborative-research-database-demo-2.0.1
# About 20 minutes on one core. What has finished is kept: start it again to go on.
set -euo pipefail
input=$1
task=prepared/eicu runs=runs/eicu
finished() { [ -e "$1" ]; }

finished $task-fold0 || mera prepare eicu --input "$input" --code-system icd9 --granularity category --every-visit --first-visits --protocol kfold --candidates all --output $task
# One stage one for all folds, which have the same candidates: it reads codes and no patient.
finished $runs/memorize || mera memorize --recipe tiny --task $task-fold0 --output $runs/memorize
for fold in 0 1 2 3 4; do
    finished $runs/fold$fold/stage-two || mera rank --recipe tiny --model.base $runs/memorize/checkpoint --task $task-fold$fold --output $runs/fold$fold/stage-two
    mera baselines --task $task-fold$fold --output $runs/fold$fold --only popularity own-history linear gbdt
done
for model in stage-two gbdt own-history popularity linear; do
    finished $runs/pooled/$model || mera pool $runs/fold*/$model --output $runs/pooled/$model
done
mera report $runs/pooled/* --output report/eicu
