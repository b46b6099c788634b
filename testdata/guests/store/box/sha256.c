// SHA256 of FIPS 180-4.
#include <string.h>

#include "box.h"

#define BLOCK 64
#define ROUNDS 64

// The first 32 bits of the fractional parts of the square roots of the first 8 primes, and of the cube roots of the first 64.
static const uint32_t first[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};
static const uint32_t round_key[ROUNDS] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void mix(uint64_t state[8], const uint8_t *block) {
	uint32_t w[ROUNDS], v[8];
	for (int i = 0; i < 16; i++) {
		w[i] = 0;
		for (int j = 0; j < 4; j++)
			w[i] = w[i] << 8 | block[i * 4 + j];
	}
	for (int i = 16; i < ROUNDS; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];
		w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	}
	for (int i = 0; i < 8; i++)
		v[i] = (uint32_t)state[i];
	for (int i = 0; i < ROUNDS; i++) {
		uint32_t a = v[0], e = v[4];
		uint32_t t = v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + round_key[i] + w[i];
		uint32_t u = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
		memmove(v + 1, v, 7 * sizeof *v);
		v[4] += t;
		v[0] = t + u;
	}
	for (int i = 0; i < 8; i++)
		state[i] = (uint32_t)(state[i] + v[i]);
}

void sha256_start(struct hash *h) {
	h->length = 0;
	for (int i = 0; i < 8; i++)
		h->state[i] = first[i];
}

void sha256_add(struct hash *h, const uint8_t *bytes, size_t n) {
	size_t used = h->length % BLOCK;
	h->length += n;
	if (used > 0) {
		size_t take = n < BLOCK - used ? n : BLOCK - used;
		memcpy(h->block + used, bytes, take);
		if (used + take < BLOCK)
			return;
		mix(h->state, h->block);
		bytes += take;
		n -= take;
	}
	for (; n >= BLOCK; bytes += BLOCK, n -= BLOCK)
		mix(h->state, bytes);
	memcpy(h->block, bytes, n);
}

void sha256_end(struct hash *h, uint8_t *digest) {
	static const uint8_t padding[BLOCK] = {0x80};
	uint8_t bits[8] = {0};
	for (int i = 0; i < 8; i++)
		bits[sizeof bits - 1 - i] = (uint8_t)(h->length * 8 >> 8 * i);
	size_t used = h->length % BLOCK, room = BLOCK - sizeof bits;
	sha256_add(h, padding, (used < room ? room : room + BLOCK) - used);
	sha256_add(h, bits, sizeof bits);
	for (int i = 0; i < 32; i++)
		digest[i] = (uint8_t)(h->state[i / 4] >> (32 - 8 - i % 4 * 8));
}
