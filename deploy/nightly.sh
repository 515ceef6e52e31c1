#!/usr/bin/env bash
# What takes too long for every change: millions of random inputs, simulated crashes by the hundred
# thousand, an hour of kills, and the sanitizers.
#
# Stops at the first step that fails, with exit code 1; the seeds are in the output.
# WAYBILL_TEST_FUZZ_INPUTS=N sets how many inputs each fuzz test tries (default 2,000,000),
# WAYBILL_TEST_SEED=N where they begin (default: at random, printed).
# WAYBILL_TEST_FUZZ_SECONDS=N sets how long calls are made up for each side (default 1800).
# WAYBILL_TEST_LETTERS=N sets how many dead letters a bulk job goes over (default 100,000).
# WAYBILL_TEST_SIMULATIONS=N sets how many seeds are simulated (default 100,000).
# WAYBILL_TEST_MUTANT_SEEDS=N sets in how many seeds each mutant must be noticed (default 2,000).
# WAYBILL_TEST_KILL_SECONDS=N sets for how long the server is killed again and again (default 3600).
# WAYBILL_TEST_BREAKS=N sets how often a file system gives itself up under load (default 200).
# WAYBILL_TEST_AWAY_SECONDS=N sets for how long PostgreSQL is away under load (default 600).
# WAYBILL_TEST_COMMITS=N sets how often PostgreSQL is killed in a COMMIT (default 200).
# WAYBILL_TEST_SOAK_MINUTES=N sets how long the soak takes (default 60).
# WAYBILL_TEST_UPLOAD_KILL_SECONDS=N sets for how long the server is killed under resumable uploads
# (default 60), WAYBILL_TEST_UPLOADS_LEFT=N how many are begun and left (default 100,000).
# WAYBILL_TEST_STEPS="fuzz simulation mutants calls letters kills breaks uploads away address thread soak"
# chooses steps (default: all).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/prepare.sh

steps=${WAYBILL_TEST_STEPS:-fuzz simulation mutants calls letters kills breaks uploads away address thread soak}
logs=.build/nightly-logs
strictly=(--explicit-target-dependency-import-check error)
# Unit tests without a server: what handles raw memory, threads and files.
fast='WaybillSealingTests|WaybillOpeningTests|WaybillThreadsTests|SegmentedLogTests|WaybillQueueTests|WaybillModelTests'

export WAYBILL_TEST_PYTHON="$PWD/$venv/bin/python"

# step NAME COMMAND…: runs a command, shows and keeps its output.
step() {
    local name=$1 log status=0
    shift
    log="$logs/${name// /-}.log"
    say "$name"
    "$@" 2>&1 | tee "$log" || status=$?
    [ "$status" -eq 0 ] || die "the step \"$name\" failed (exit code $status); its output is in $log"
}

wanted() {
    case " $steps " in *" $1 "*) return 0 ;; esac
    return 1
}

# Optimised, with the checks of debug builds left out, as it runs in production.
fuzz() {
    WAYBILL_TEST_FUZZ_INPUTS=${WAYBILL_TEST_FUZZ_INPUTS:-2000000} \
        swift test -c release -Xswiftc -enable-testing "${strictly[@]}" \
        --scratch-path .build/nightly-release --filter FuzzTests
}

# The queue on a disk in memory that fails in every way; other seeds every night.
simulation() {
    deploy/simulate.sh --seeds "${WAYBILL_TEST_SIMULATIONS:-100000}" \
        --from "${WAYBILL_TEST_SEED:-$((RANDOM * 1000000 + 1))}"
}

# Each sync, tag check and fencing check left out in turn.
mutants() {
    deploy/simulate.sh --mutants --seeds "${WAYBILL_TEST_MUTANT_SEEDS:-2000}"
}

# Calls made up from openapi.yaml against both sides of a running server.
calls() {
    swift build --product waybill "${strictly[@]}"
    WAYBILL_BIN="$(swift build --show-bin-path)/waybill" PYTHONDONTWRITEBYTECODE=1 \
        WAYBILL_TEST_FUZZ_SECONDS=${WAYBILL_TEST_FUZZ_SECONDS:-1800} \
        "$venv/bin/python" -m pytest -c Tests/acceptance/pytest.ini \
        Tests/acceptance/test_described_calls.py
}

# A job over more dead letters than a change has time for.
letters() {
    swift build --product waybill "${strictly[@]}"
    WAYBILL_BIN="$(swift build --show-bin-path)/waybill" PYTHONDONTWRITEBYTECODE=1 \
        WAYBILL_TEST_LETTERS=${WAYBILL_TEST_LETTERS:-100000} \
        "$venv/bin/python" -m pytest -c Tests/acceptance/pytest.ini \
        Tests/acceptance/test_dead_letters.py -k many
}

# A release build against which long tests run.
release_tests() {
    swift build -c release --product waybill "${strictly[@]}"
    WAYBILL_BIN="$(swift build -c release --show-bin-path)/waybill" PYTHONDONTWRITEBYTECODE=1 \
        "$venv/bin/python" -m pytest -s -c Tests/acceptance/pytest.ini "$@"
}

# SIGKILL every 0.2 to 2 s, counted from ready, under `waybill load`, whose audit must find nothing.
kills() {
    WAYBILL_TEST_KILL_SECONDS=${WAYBILL_TEST_KILL_SECONDS:-3600} \
        WAYBILL_TEST_KILL_RATE=${WAYBILL_TEST_KILL_RATE:-40} \
        release_tests Tests/acceptance/test_crash.py -k waybill_load
}

# A file system that gives itself up under load, a few seconds after it was repaired.
breaks() {
    WAYBILL_TEST_BREAKS=${WAYBILL_TEST_BREAKS:-200} \
        release_tests Tests/acceptance/test_faults_disk.py -k turns_read_only_under_load
}

# Uploads through kills, and uploads that nobody goes on with.
uploads() {
    WAYBILL_TEST_UPLOAD_KILL_SECONDS=${WAYBILL_TEST_UPLOAD_KILL_SECONDS:-60} \
        WAYBILL_TEST_UPLOADS_LEFT=${WAYBILL_TEST_UPLOADS_LEFT:-100000} \
        release_tests Tests/acceptance/test_resumable_kills.py Tests/acceptance/test_resumable_faults.py
}

# PostgreSQL away for ten minutes under full load, and killed in COMMIT many times.
away() {
    WAYBILL_TEST_AWAY_SECONDS=${WAYBILL_TEST_AWAY_SECONDS:-600} \
        WAYBILL_TEST_COMMITS=${WAYBILL_TEST_COMMITS:-200} \
        release_tests Tests/acceptance/test_faults_database.py -k 'case_29 or case_30'
}

# The fast unit tests, a few thousand random inputs among them, under a sanitizer.
sanitized() {
    swift test --sanitize "$1" "${strictly[@]}" --scratch-path ".build/nightly-$1" --filter "$fast"
}

# An hour of load with everything going wrong.
soak() {
    deploy/soak.sh "${WAYBILL_TEST_SOAK_MINUTES:-60}"
}

prepare test
mkdir -p "$logs"
step "python packages" python_packages
if wanted fuzz; then step "fuzz" fuzz; fi
if wanted simulation; then step "simulation" simulation; fi
if wanted mutants; then step "mutants" mutants; fi
if wanted calls; then step "made-up calls" calls; fi
if wanted letters; then step "many dead letters" letters; fi
if wanted kills; then step "kills" kills; fi
if wanted breaks; then step "breaks" breaks; fi
if wanted uploads; then step "uploads" uploads; fi
if wanted away; then step "away" away; fi
if wanted address; then step "address sanitizer" sanitized address; fi
if wanted thread; then step "thread sanitizer" sanitized thread; fi
if wanted soak; then step "soak" soak; fi
say "all steps passed"
