// SHA-1 on LANES chains at once, one a lane. Included once for each width, which gives
// LANES, NAME(x) and, by a pragma around it, the instructions that may be used.

typedef uint32_t NAME(vector) __attribute__((vector_size(4 * LANES)));

typedef struct {
    NAME(vector) a, b, c, d, e;
} NAME(state);

#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))

static inline __attribute__((always_inline)) NAME(vector) NAME(splat)(uint32_t word) {
    return (NAME(vector)){} + word;
}

// One compression of a 20-byte message that follows a 64-byte block: the rest of the block is
// padding, the same for everybody.
static inline __attribute__((always_inline)) NAME(state)
NAME(compress)(const NAME(state) *start, const NAME(state) *message) {
    NAME(vector) w[16];
    w[0] = message->a;
    w[1] = message->b;
    w[2] = message->c;
    w[3] = message->d;
    w[4] = message->e;
    w[5] = NAME(splat)(0x80000000u);
    for (int i = 6; i < 15; i++) w[i] = NAME(splat)(0);
    w[15] = NAME(splat)(8 * (64 + 20));
    NAME(vector) a = start->a, b = start->b, c = start->c, d = start->d, e = start->e;
#pragma clang loop unroll(full)
    for (int t = 0; t < 80; t++) {
        if (t >= 16) {
            NAME(vector) mixed = w[(t + 13) & 15] ^ w[(t + 8) & 15] ^ w[(t + 2) & 15] ^ w[t & 15];
            w[t & 15] = ROTATE(mixed, 1);
        }
        NAME(vector) f;
        uint32_t k;
        if (t < 20) {
            f = d ^ (b & (c ^ d));
            k = 0x5a827999u;
        } else if (t < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1u;
        } else if (t < 60) {
            f = (b & c) + (d & (b ^ c));
            k = 0x8f1bbcdcu;
        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6u;
        }
        NAME(vector) next = (e + (w[t & 15] + k)) + f + ROTATE(a, 5);
        e = d;
        d = c;
        c = ROTATE(b, 30);
        b = a;
        a = next;
    }
    return (NAME(state)){start->a + a, start->b + b, start->c + c, start->d + d, start->e + e};
}

static void NAME(run)(waybill_chain *chains, size_t count, int rounds) {
    for (size_t first = 0; first < count; first += LANES) {
        NAME(state) inner, outer, words;
        // Lanes that are left over repeat the last chain; nobody reads them.
        for (size_t lane = 0; lane < LANES; lane++) {
            const waybill_chain *chain = &chains[first + lane < count ? first + lane : count - 1];
#define LOAD(state, from) \
    state.a[lane] = from[0]; state.b[lane] = from[1]; state.c[lane] = from[2]; \
    state.d[lane] = from[3]; state.e[lane] = from[4];
            LOAD(inner, chain->inner)
            LOAD(outer, chain->outer)
            LOAD(words, chain->words)
#undef LOAD
        }
        NAME(state) sum = words;
        for (int round = 1; round < rounds; round++) {
            words = NAME(compress)(&inner, &words);
            words = NAME(compress)(&outer, &words);
            sum.a ^= words.a;
            sum.b ^= words.b;
            sum.c ^= words.c;
            sum.d ^= words.d;
            sum.e ^= words.e;
        }
        for (size_t lane = 0; lane < LANES && first + lane < count; lane++) {
            uint32_t *into = chains[first + lane].words;
            into[0] = sum.a[lane];
            into[1] = sum.b[lane];
            into[2] = sum.c[lane];
            into[3] = sum.d[lane];
            into[4] = sum.e[lane];
        }
    }
}

#undef ROTATE
#undef LANES
#undef NAME
