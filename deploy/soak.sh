#!/usr/bin/env bash
# Load and trouble at the same time, and every receipt and row audited: deploy/soak.sh [MINUTES]
#
# The plans of deploy/soak/ share the minutes (default 60): kill -9 of server and PostgreSQL, restarts,
# listeners scaled; and, where root runs this, full disks and phone networks. Reports of all runs go
# into WAYBILL_TEST_SOAK_REPORTS (default .build/soak). Ends with 1 if any run found anything.
# WAYBILL_BIN=PATH takes a program that is built already; without it a release build is made.
# WAYBILL_TEST_SOAK_RATE=N sets how many bundles a second are sent (default: each plan's own).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/prepare.sh

minutes=${1:-60}
[[ $minutes =~ ^[0-9]+$ ]] && [ "$minutes" -ge 1 ] || die "MINUTES is a whole number, at least 1"
reports=${WAYBILL_TEST_SOAK_REPORTS:-.build/soak}

prepare soak
if [ -z "${WAYBILL_BIN:-}" ]; then
    say "building (the first time takes some minutes)"
    swift build -c release --product waybill >&2 || die "the build failed"
    WAYBILL_BIN="$(swift build -c release --show-bin-path)/waybill"
fi

plans=(crashes)
if [ "$(id -u)" -eq 0 ]; then
    plans+=(everything)
    # In a short soak, everything at once is all there is time for.
    if [ "$minutes" -ge 8 ]; then plans+=(disk phones); fi
else
    say "not root: no full disks, no phone networks"
fi
seconds=$((minutes * 60 / ${#plans[@]}))

failed=()
for plan in "${plans[@]}"; do
    say "soak: $plan, $seconds s"
    status=0
    "$WAYBILL_BIN" load run --plan "deploy/soak/$plan.yaml" --duration "$seconds" \
        ${WAYBILL_TEST_SOAK_RATE:+--rate "$WAYBILL_TEST_SOAK_RATE"} --report-dir "$reports/$plan" \
        --slo 'findings==0' || status=$?
    case $status in
        0) ;;
        130 | 143) die "interrupted" ;;
        *) failed+=("$plan (exit code $status)") ;;
    esac
done

if [ "${#failed[@]}" -gt 0 ]; then
    die "findings in: ${failed[*]}; the reports are in $reports"
fi
printf 'soak: %s runs of %s s, no findings; reports in %s\n' \
    "${#plans[@]}" "$seconds" "$reports"
