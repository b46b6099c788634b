// Compute kernels, for measuring what metering costs. Each export does a fixed amount of work for n and returns a
// checksum. Freestanding: no libc, no imports.
#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name)))

// A tight loop without memory.
EXPORT(spin) uint32_t spin(uint32_t n) {
	uint32_t x = 2463534242u;
	for (uint32_t i = 0; i < n * 1000; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
	}
	return x;
}

// Nothing but calls.
EXPORT(fib) uint32_t fib(uint32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

EXPORT(ackermann) uint32_t ackermann(uint32_t m, uint32_t n) {
	if (m == 0)
		return n + 1;
	return n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

// Recursive quicksort through a comparison function called indirectly.
static uint32_t numbers[1 << 14];

static int ascending(const uint32_t *a, const uint32_t *b) { return *a < *b ? -1 : *a > *b; }
static int descending(const uint32_t *a, const uint32_t *b) { return *a > *b ? -1 : *a < *b; }

static void quicksort(uint32_t *v, int n, int (*compare)(const uint32_t *, const uint32_t *)) {
	while (n > 1) {
		uint32_t pivot = v[n / 2];
		int i = 0, j = n - 1;
		for (;;) {
			while (compare(&v[i], &pivot) < 0)
				i++;
			while (compare(&v[j], &pivot) > 0)
				j--;
			if (i >= j)
				break;
			uint32_t t = v[i];
			v[i++] = v[j];
			v[j--] = t;
		}
		quicksort(v, i, compare);
		v += i;
		n -= i;
	}
}

EXPORT(sort) uint32_t sort(uint32_t n) {
	uint32_t x = 1;
	for (uint32_t i = 0; i < n; i++)
		numbers[i] = x = x * 1664525 + 1013904223;
	quicksort(numbers, n, n & 1 ? descending : ascending);
	return numbers[n / 2];
}

// SHA-256 of n KiB.
static const uint32_t k256[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
	0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
	0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
	0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
	0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotr(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void block(uint32_t h[8], const uint8_t *p) {
	uint32_t w[64], s[8];
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[i * 4] << 24 | p[i * 4 + 1] << 16 | p[i * 4 + 2] << 8 | p[i * 4 + 3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] + (rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       (rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ w[i - 2] >> 10);
	for (int i = 0; i < 8; i++)
		s[i] = h[i];
	for (int i = 0; i < 64; i++) {
		uint32_t a = s[7] + (rotr(s[4], 6) ^ rotr(s[4], 11) ^ rotr(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k256[i] + w[i];
		uint32_t b = (rotr(s[0], 2) ^ rotr(s[0], 13) ^ rotr(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
		for (int j = 7; j > 0; j--)
			s[j] = s[j - 1];
		s[4] += a;
		s[0] = a + b;
	}
	for (int i = 0; i < 8; i++)
		h[i] += s[i];
}

static uint8_t bytes[1 << 20];

EXPORT(sha256) uint32_t sha256(uint32_t n) {
	uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	for (uint32_t i = 0; i < n * 1024; i += 64)
		block(h, bytes + i);
	return h[0];
}

// Matrix product of n x n doubles.
static double ma[128 * 128], mb[128 * 128], mc[128 * 128];

EXPORT(matrix) uint32_t matrix(uint32_t n) {
	for (uint32_t i = 0; i < n * n; i++)
		ma[i] = i, mb[i] = n - i;
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < n; j++) {
			double sum = 0;
			for (uint32_t k = 0; k < n; k++)
				sum += ma[i * n + k] * mb[k * n + j];
			mc[i * n + j] = sum;
		}
	return (uint32_t)(int64_t)mc[n + 1];
}

// Write a JSON document of n objects and read it back with a recursive parser.
static char text[1 << 20];
static char *out;
static const char *in;

static void put(const char *s) {
	while (*s)
		*out++ = *s++;
}

static void number(uint32_t v) {
	if (v >= 10)
		number(v / 10);
	*out++ = '0' + v % 10;
}

static void space(void) {
	while (*in == ' ' || *in == '\n')
		in++;
}

static uint32_t string(void) {
	uint32_t h = 5381;
	for (in++; *in != '"'; in++)
		h = h * 33 + (*in == '\\' ? *++in : *in);
	in++;
	return h;
}

static uint32_t value(void) {
	uint32_t sum = 0;
	space();
	switch (*in) {
	case '{':
	case '[':
		in++;
		for (space(); *in != '}' && *in != ']'; space()) {
			if (*in == ',' || *in == ':')
				in++;
			else
				sum = sum * 31 + value();
		}
		in++;
		return sum;
	case '"':
		return string();
	default:
		while (*in >= '0' && *in <= '9')
			sum = sum * 10 + (*in++ - '0');
		return sum;
	}
}

EXPORT(json) uint32_t json(uint32_t n) {
	out = text;
	put("[");
	for (uint32_t i = 0; i < n; i++) {
		put(i ? ", {\"id\": " : "{\"id\": ");
		number(i * 7919);
		put(", \"name\": \"item \\\"x\\\" of many\", \"tags\": [\"a\", \"bc\", \"def\"], \"nested\": {\"k\": [1, 2, 3]}}");
	}
	put("]");
	*out = 0;
	in = text;
	return value();
}

// Build and walk binary trees from a bump allocator.
struct node {
	struct node *left, *right;
};
static struct node nodes[1 << 16];
static uint32_t used;

static struct node *tree(uint32_t depth) {
	struct node *t = &nodes[used++];
	t->left = depth ? tree(depth - 1) : NULL;
	t->right = depth ? tree(depth - 1) : NULL;
	return t;
}

static uint32_t count(const struct node *t) { return t->left ? 1 + count(t->left) + count(t->right) : 1; }

EXPORT(trees) uint32_t trees(uint32_t n) {
	used = 0;
	return count(tree(n));
}

// The sieve of Eratosthenes.
EXPORT(sieve) uint32_t sieve(uint32_t n) {
	uint32_t found = 0;
	for (uint32_t i = 2; i < n; i++)
		bytes[i] = 1;
	for (uint32_t i = 2; i < n; i++) {
		if (!bytes[i])
			continue;
		found++;
		for (uint32_t j = i * 2; j < n; j += i)
			bytes[j] = 0;
	}
	return found;
}

// A small virtual machine: a loop around a switch.
EXPORT(machine) uint32_t machine(uint32_t n) {
	static const uint8_t program[] = {0, 1, 2, 1, 3, 4, 0, 2, 5, 1, 3, 2, 6, 4, 1, 7};
	uint32_t a = 1, b = 2, pc = 0;
	for (uint32_t left = n * 1000; left;) {
		switch (program[pc++]) {
		case 0: a += b; break;
		case 1: b ^= a << 3; break;
		case 2: a -= 7; break;
		case 3: b = b >> 1 | b << 31; break;
		case 4: a *= 3; break;
		case 5: b += a & 0xff; break;
		case 6: a = ~a; break;
		default: pc = 0; left--; break;
		}
	}
	return a ^ b;
}
