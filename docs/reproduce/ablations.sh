#!/usr/bin/env bash
# The ablations of docs/results.md, after `make demo`: bash docs/reproduce/ablations.sh diabetic_data.csv
# Hours on one core: a dozen trainings on each of two cohorts. What has finished is kept: start it again to go on.
set -euo pipefail
input=$1
task=prepared/diabetes130-every-visit
finished() { [ -e "$1" ]; }

finished $task || mera prepare diabetes130 --input "$input" --output $task --every-visit --candidates all
finished runs/d130-every/memorize || mera memorize --recipe tiny --task $task --output runs/d130-every/memorize
mera ablate --task $task --output runs/ablations-diabetes130 --memorize runs/d130-every/memorize/checkpoint --training.epochs 4
mera ablate --task demo/prepared/synthetic-diagnosis --output runs/ablations-synthetic --memorize demo/runs/memorize/checkpoint --config configs/rank/demo.yaml
mera baselines --task demo/prepared/synthetic-diagnosis --output runs/synthetic-baselines --only gbdt linear own-history
mera report runs/ablations-synthetic/* runs/synthetic-baselines/* --reference full --output report/ablations-synthetic
