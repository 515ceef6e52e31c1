#!/usr/bin/env bash
# The one command: format, build with warnings as errors, unit tests, the queue on a simulated disk,
# mutants of it, a stranger's client, the demo, two minutes of load with everything going wrong.
#
# Stops at the first step that fails, with exit code 1. The last line counts steps and tests.
# WAYBILL_TEST_KILLS=N sets how often the crash test kills the server (default 10),
# WAYBILL_TEST_SEED=N where random inputs begin (default 1: a change is judged by what it changes;
# nightly.sh tries others).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/prepare.sh

export WAYBILL_STRICT=1 WAYBILL_TEST_SEED=${WAYBILL_TEST_SEED:-1}
logs=.build/test-logs
passed=0
strictly=(--explicit-target-dependency-import-check error)

finish() {
    printf '%s passed, %s failed\n' "$passed" "$1"
    exit "$(($1 > 0 ? 1 : 0))"
}

# step NAME COMMAND…: runs a command, shows and keeps its output.
step() {
    local name=$1 log status=0
    shift
    log="$logs/${name// /-}.log"
    say "$name"
    "$@" 2>&1 | tee "$log" || status=$?
    if [ "$status" -ne 0 ]; then
        printf 'test.sh: the step "%s" failed (exit code %s); its output is in %s\n' \
            "$name" "$status" "$log"
        finish "$(failures "$log")"
    fi
    passed=$((passed + $(successes "$log")))
}

# What a runner counted in its output; a step without tests counts as one.
counted() {
    grep -oE "$2" "$1" | tail -n 1 | grep -oE '[0-9]+' | head -n 1 || true
}

successes() {
    local tests
    tests=$(counted "$1" 'Test run with [0-9]+ tests?')
    [ -n "$tests" ] || tests=$(counted "$1" '[0-9]+ passed')
    echo "${tests:-1}"
}

# At least one: the step has failed, whatever its output ends with.
failures() {
    local tests
    tests=$(counted "$1" '[0-9]+ failed')
    echo "$((${tests:-0} > 0 ? tests : 1))"
}

# Unit tests open archives that pyzipper made, and have it open ours.
export WAYBILL_TEST_PYTHON="$PWD/$venv/bin/python"

strangers_client() {
    WAYBILL_BIN="$(swift build --show-bin-path)/waybill" PYTHONDONTWRITEBYTECODE=1 \
        "$venv/bin/python" -m pytest --maxfail=10 -c Tests/acceptance/pytest.ini Tests/acceptance
}

run_demo() {
    "$(swift build --show-bin-path)/waybill" demo --once
}

# Two minutes in which server and PostgreSQL are killed; as root also full disks and phone networks.
# As much load as a debug build can take.
run_soak() {
    WAYBILL_BIN="$(swift build --show-bin-path)/waybill" WAYBILL_TEST_SOAK_RATE=15 \
        WAYBILL_TEST_SOAK_REPORTS="$logs/soak" deploy/soak.sh 2
}

prepare test
mkdir -p "$logs"
step "python packages" python_packages
step "format" swift format lint -s --configuration Sources/.swift-format \
    -r Sources Tests Migrations Package.swift
step "build" swift build --build-tests "${strictly[@]}"
# By themselves: their clients soon give up, too soon while all others run as well.
step "ingress tests" swift test --skip-build --filter WaybillIngressTests
step "load tests" swift test --skip-build --filter WaybillLoadTests
step "unit tests" swift test --skip-build --skip WaybillIngressTests --skip WaybillLoadTests
step "simulation" deploy/simulate.sh --seeds 450
# A seed is enough for most mutants; one that outlives so many is no accident.
step "mutants" deploy/simulate.sh --mutants --seeds 200
step "strangers client" strangers_client
step "demo" run_demo
step "soak" run_soak
finish 0
