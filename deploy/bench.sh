#!/usr/bin/env bash
# Measures, in release, on loopback, with a PostgreSQL on the same machine: deploy/bench.sh [NAME]
#
# Prints one JSON object a line: {bench, name, value, unit, limit, ratio, peer}. `limit` was measured
# in the same run; figures of different runs or machines say little beside each other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/prepare.sh

name=${1:-spine}
[ -f "deploy/bench/$name.py" ] && [ "$name" != bench ] || die "there is no bench $name; there are: spine growth"
shift || true
prepare bench
python_packages
say "building (the first time takes some minutes)"
swift build -c release --product waybill >&2 || die "the build failed"
exec "$venv/bin/python" "deploy/bench/$name.py" \
    "$(swift build -c release --show-bin-path)/waybill" "$@"
