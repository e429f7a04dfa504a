#!/usr/bin/env bash
# Make the environment from the lock, or bring it up to date; does nothing when the lock has not changed.
# Usage: scripts/venv.sh [.venv]     PYTHON=/path/to/python3 chooses the interpreter (3.11 to 3.14)
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
stamp="$venv/.lock-installed"
sum=$(cat requirements.lock pyproject.toml | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ] && [ -x "$venv/bin/python" ]; then exit 0; fi

suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }
python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3.13 python3.12 python3.11 python3.14 python3; do
    if found=$(command -v "$candidate") && suits "$found"; then python=$found; break; fi
  done
fi
if [ -z "$python" ] || ! suits "$python"; then
  echo "Tenantry needs Python 3.11 to 3.14, and none was found${PYTHON:+ at $PYTHON}." >&2
  echo "Install one (Debian: apt-get install python3 python3-venv), or say PYTHON=/path/to/python3." >&2
  exit 2
fi

echo "Environment: $venv with $("$python" -V)" >&2
if command -v uv >/dev/null; then
  [ -x "$venv/bin/python" ] || uv venv --quiet --python "$python" "$venv"
  uv pip install --quiet --python "$venv/bin/python" --require-hashes -r requirements.lock
  uv pip install --quiet --python "$venv/bin/python" --no-deps --editable .
else
  if [ ! -x "$venv/bin/python" ] && ! "$python" -m venv "$venv"; then
    echo "This Python cannot make environments. Debian: apt-get install python3-venv" >&2
    exit 2
  fi
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
fi
printf '%s' "$sum" >"$stamp"
