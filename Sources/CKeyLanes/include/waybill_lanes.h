#ifndef WAYBILL_KEY_LANES_H
#define WAYBILL_KEY_LANES_H

#include <stddef.h>
#include <stdint.h>

/// One chain of PBKDF2-HMAC-SHA1 (RFC 8018, section 5.2): what one block of key material is made of.
typedef struct {
    /// SHA-1 state after the key's inner and outer block.
    uint32_t inner[5];
    uint32_t outer[5];
    /// On entry the first round's result, U1; on return the block, U1 ^ U2 ^ … ^ Un.
    uint32_t words[5];
} waybill_chain;

/// Ways to compute chains, by how many they take at once.
typedef enum {
    waybill_lanes_portable = 4,
    waybill_lanes_avx2 = 8,
    waybill_lanes_avx512 = 16,
} waybill_lanes;

/// The fastest way that this machine has.
waybill_lanes waybill_best_lanes(void);

/// True if this machine can compute in that way.
int waybill_has_lanes(waybill_lanes lanes);

/// Runs the rounds after the first, `rounds` - 1 of them, on all chains.
///
/// `lanes` must be one that the machine has.
void waybill_run_chains(waybill_chain *chains, size_t count, int rounds, waybill_lanes lanes);

#endif
