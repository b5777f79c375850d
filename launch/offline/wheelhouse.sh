#!/usr/bin/env bash
# All that a server without a network installs the toolkit from, as wheels in one folder: `make wheelhouse`.
#
#   launch/offline/wheelhouse.sh wheelhouse                                  for this Python and this platform
#   PYTHON_VERSION=3.12 PLATFORM=manylinux_2_28_x86_64 launch/offline/wheelhouse.sh wheelhouse      for another
#   EXTRAS=serve,dev launch/offline/wheelhouse.sh wheelhouse                 with what the tests need
#
# On the server, from a copy of this repository with that folder in it: `make install-offline`; or, with the wheels
# alone: pip install --no-index --find-links wheelhouse 'mera-icd[serve]'.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:?"give a folder for the wheels: launch/offline/wheelhouse.sh wheelhouse"}
python=${PYTHON:-python3}
extras=${EXTRAS:-serve,quantization}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cd "$root"

pip() { "$python" -m pip --disable-pip-version-check "$@"; }

# What an editable install builds with, and the toolkit itself.
pip wheel --quiet --no-deps --wheel-dir "$folder" .
if [ -z "${PLATFORM:-}${PYTHON_VERSION:-}" ]; then
    pip wheel --quiet --find-links "$folder" --wheel-dir "$folder" "mera-icd[$extras]" hatchling editables pip
else
    # These have no wheels on PyPI and nothing compiled in them: built here, they install anywhere.
    pip wheel --quiet --no-deps --wheel-dir "$folder" deepspeed
    here=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    # A wheel for an older Linux fits a newer one, but pip takes the platforms by name.
    platforms=()
    for platform in ${PLATFORM:-manylinux_2_28_x86_64} manylinux_2_27_x86_64 manylinux_2_24_x86_64 \
        manylinux_2_17_x86_64 manylinux2014_x86_64 manylinux_2_12_x86_64 manylinux2010_x86_64 \
        manylinux_2_5_x86_64 manylinux1_x86_64 linux_x86_64; do
        platforms+=(--platform "$platform")
    done
    pip download --quiet --only-binary :all: --python-version "${PYTHON_VERSION:-$here}" "${platforms[@]}" \
        --find-links "$folder" --dest "$folder" "mera-icd[$extras]" hatchling editables pip
fi
(cd "$folder" && sha256sum ./*.whl > SHA256SUMS)
echo "$(find "$folder" -name '*.whl' | wc -l) wheels, $(du -sh "$folder" | cut -f1), in $folder; their sums in SHA256SUMS"
