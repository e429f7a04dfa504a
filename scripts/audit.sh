#!/usr/bin/env bash
# Known weaknesses of what we depend on (pip-audit over the lock): asked once a week for a lock, and given up quietly without a network.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=${1:-.venv/bin}
sum=$(cksum <requirements.lock | cut -d' ' -f1)
done_="$bin/../.audited-$sum-$(date +%G%V)"
tried="$bin/../.audit-tried-$sum-$(date +%F)"
if [ -e "$done_" ] || [ -e "$tried" ]; then exit 0; fi
touch "$tried"
found=$(timeout 25 "$bin/pip-audit" -r requirements.lock --require-hashes --disable-pip -f json --progress-spinner off --timeout 5 2>/dev/null)
FOUND="$found" "$bin/python" - <<'PY'
import json, os, sys
try:
    audited = json.loads(os.environ["FOUND"])["dependencies"]
except (ValueError, KeyError):
    sys.stderr.write("dependencies were not audited: no answer (tried again tomorrow)\n")
    sys.exit(3)
weak = [(d["name"], d["version"], v["id"], v["fix_versions"]) for d in audited for v in d.get("vulns", [])]
for name, version, id_, fixed in weak:
    sys.stderr.write(f"{name} {version}: {id_}, mended in {', '.join(fixed) or 'no version yet'}\n")
sys.exit(1 if weak else 0)
PY
case $? in
0) touch "$done_" ;;
3) ;;
*) rm -f "$tried"; exit 1 ;;
esac
