#include "waybill_lanes.h"

#define LANES 4
#define NAME(x) portable_##x
#include "lanes_template.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#define LANES 8
#define NAME(x) avx2_##x
#include "lanes_template.h"
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#define LANES 16
#define NAME(x) avx512_##x
#include "lanes_template.h"
#pragma clang attribute pop
#endif

int waybill_has_lanes(waybill_lanes lanes) {
    switch (lanes) {
#if defined(__x86_64__)
    case waybill_lanes_avx2: return __builtin_cpu_supports("avx2") != 0;
    case waybill_lanes_avx512: return __builtin_cpu_supports("avx512f") != 0;
#endif
    default: return lanes == waybill_lanes_portable;
    }
}

waybill_lanes waybill_best_lanes(void) {
    if (waybill_has_lanes(waybill_lanes_avx512)) return waybill_lanes_avx512;
    if (waybill_has_lanes(waybill_lanes_avx2)) return waybill_lanes_avx2;
    return waybill_lanes_portable;
}

void waybill_run_chains(waybill_chain *chains, size_t count, int rounds, waybill_lanes lanes) {
    if (count == 0) return;
    switch (lanes) {
#if defined(__x86_64__)
    case waybill_lanes_avx2: avx2_run(chains, count, rounds); return;
    case waybill_lanes_avx512: avx512_run(chains, count, rounds); return;
#endif
    default: portable_run(chains, count, rounds);
    }
}
