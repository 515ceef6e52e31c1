#!/usr/bin/env bash
# Builds Waybill and shows it at work: deploy/demo.sh [--once] [options of `waybill demo`]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/prepare.sh

prepare build
say "building (the first time takes some minutes)"
swift build -c release --product waybill >&2 || die "the build failed"
exec "$(swift build -c release --show-bin-path)/waybill" demo "$@"
