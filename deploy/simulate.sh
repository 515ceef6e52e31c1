#!/usr/bin/env bash
# Runs the log and the queue on a disk in memory that tears, loses, refuses and forgets.
#
# deploy/simulate.sh [--seeds N] [--seed S] [--from S]: seeds (default 3000) from S on, or one again.
# deploy/simulate.sh --mutants [--seeds N]: leaves out one sync, tag check or fencing check after the
# other, and simulates until that is noticed; exit code 1 if one is not in N seeds (default 2000).
# Prints seeds, operations, crashes and faults by kind, and which seeds failed; exit code 1 if any
# did, if a kind of fault was hit less than 1,000 times in 20,000 seeds or more, or if a disk that does
# not sync passes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/prepare.sh

seeds=''
arguments=()
mutants=''
while [ $# -gt 0 ]; do
    case $1 in
    --seeds) seeds=${2:?} ;;
    --seed) arguments+=(--seed "${2:?}") seeds=1 ;;
    --from) arguments+=(--from "${2:?}") ;;
    --mutants)
        mutants=1
        shift
        continue
        ;;
    *) die "usage: deploy/simulate.sh [--mutants] [--seeds N] [--seed S] [--from S]" ;;
    esac
    shift 2
done
[ -z "$mutants" ] || [ ${#arguments[@]} -eq 0 ] || die "--mutants goes with --seeds alone"
[ -n "$seeds" ] || seeds=$((mutants ? 2000 : 3000))
[ "$seeds" -eq 1 ] || arguments+=(--seeds "$seeds")

export WAYBILL_MUTANTS=1 SWIFT_DETERMINISTIC_HASHING=1
build=(--scratch-path .build/simulate -c release --product simulate)
swift build "${build[@]}" --explicit-target-dependency-import-check error
simulate="$(swift build "${build[@]}" --show-bin-path)/simulate"

[ -z "$mutants" ] || exec "$simulate" --mutants --seeds "$seeds"

# A disk that only says it syncs must be found out: else the simulation proves nothing.
control() {
    local level
    for level in log queue; do
        if output=$("$simulate" --level "$level" --seeds 20 "$1"); then
            printf '%s\n' "$output"
            die "a disk $1 went unnoticed at the level of the $level"
        fi
        printf 'the %s %s: found out, as it must be: %s\n' "$level" "$1" \
            "$(grep -oE '^[0-9]+ seeds failed' <<<"$output")"
    done
}

if [ "$seeds" -gt 1 ]; then
    # Seeds that failed once.
    while read -r level seed; do
        if ! output=$("$simulate" --level "$level" --seed "$seed"); then
            head -n 1 <<<"$output"
            die "seed $seed of the $level fails again"
        fi
    done <Tests/simulate/kept-seeds.txt
    control --without-syncs
    control --without-directory-syncs
fi
least=0
[ "$seeds" -lt 20000 ] || least=1000
"$simulate" "${arguments[@]}" --least "$least"
