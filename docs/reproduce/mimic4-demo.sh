#!/usr/bin/env bash
# The table of the MIMIC-IV demo in docs/results.md: bash docs/reproduce/mimic4-demo.sh mimic-iv-demo/hosp
# About 15 minutes on one core. What has finished is kept: start it again to go on.
set -euo pipefail
input=$1
task=prepared/mimic4-demo runs=runs/mimic4-demo
finished() { [ -e "$1" ]; }

finished $task-fold0 || mera prepare mimic4 --input "$input" --code-system to-icd10 --granularity category --every-visit --first-visits --protocol kfold --candidates all --output $task
# One stage one for all folds, which have the same candidates: it reads codes and no patient.
finished $runs/memorize || mera memorize --recipe tiny --task $task-fold0 --output $runs/memorize
for fold in 0 1 2 3 4; do
    finished $runs/fold$fold/stage-two || mera rank --recipe tiny --model.base $runs/memorize/checkpoint --task $task-fold$fold --output $runs/fold$fold/stage-two
    mera baselines --task $task-fold$fold --output $runs/fold$fold
done
for model in stage-two gbdt own-history popularity linear; do
    finished $runs/pooled/$model || mera pool $runs/fold*/$model --output $runs/pooled/$model
done
mera report $runs/pooled/* --output report/mimic4-demo
