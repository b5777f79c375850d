#!/usr/bin/env bash
# The tests with the newest releases of the libraries whose private names we use (mera/training/private_api), whatever
# upper bounds pyproject.toml has: `make test-newest`. Downloads gigabytes into a temporary folder; nothing else changes.
# With arguments, those tests alone: tests/newest.sh tests/mera/training
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
libraries=(torch transformers trl peft accelerate deepspeed sentence-transformers)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
python=$folder/venv/bin/python

echo "installing the newest ${libraries[*]}" >&2
"$python" - "$root/pyproject.toml" > "$folder/requirements.txt" <<'PYTHON'
import re, sys, tomllib

with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
extras = [line for extra in project["optional-dependencies"].values() for line in extra]
for line in [*project["dependencies"], *extras]:
    if not line.startswith(project["name"]):  # an extra of ours that another one includes
        print(re.sub(r",?<[^,]*", "", line))
PYTHON
# Wheels for the CPU are a tenth in size, where there are any and their index can be reached.
cpu=https://download.pytorch.org/whl/cpu
if "$python" -c "import urllib.request as web; web.urlopen('$cpu/torch/', timeout=15)" 2> /dev/null; then
    "$python" -m pip install --quiet torch --index-url "$cpu"
fi
"$python" -m pip install --quiet --upgrade --upgrade-strategy only-if-needed \
    --requirement "$folder/requirements.txt" "${libraries[@]}"
"$python" -m pip install --quiet --no-deps --editable "$root"

cd "$root"
status=0
OMP_NUM_THREADS=1 "$python" -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
    --quiet --no-header --tb line -rfE "$@" > "$folder/tests.txt" 2>&1 || status=$?

tested=$root/.venv/bin/python
[ -x "$tested" ] || tested=$python
printf '\n%-24s%-16s%s\n' library tested newest
for library in "${libraries[@]}"; do
    of() { "$1" -c "import importlib.metadata as m; print(m.version('$library'))" 2> /dev/null || echo -; }
    printf '%-24s%-16s%s\n' "$library" "$(of "$tested")" "$(of "$python")"
done
printf '\nwhat broke:\n'
grep -E '^(FAILED|ERROR) ' "$folder/tests.txt" || echo nothing
tail -n 1 "$folder/tests.txt"
[ "$status" -le 1 ] || tail -n 30 "$folder/tests.txt" >&2
exit "$status"
