// Looks through all of its memory for what an earlier call was given or left there, prints how often it found it, then takes the request
// in and leaves copies wherever it can: the stack, variables, the heap, fresh pages. The first byte of the request says how it ends:
// t(rap), e(xit), l(oop); s prints how often it finds what this call left; anything else returns.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>

// The needle is "secret-of-call-", kept in a form that is not found itself.
static const unsigned char hidden[] = {'s' ^ 85, 'e' ^ 85, 'c' ^ 85, 'r' ^ 85, 'e' ^ 85, 't' ^ 85, '-' ^ 85, 'o' ^ 85, 'f' ^ 85, '-' ^ 85, 'c' ^ 85, 'a' ^ 85, 'l' ^ 85, 'l' ^ 85};

static char kept[4096];

static int found(void) {
	int n = 0;
	const volatile unsigned char *at = (const unsigned char *)1, *end = (const unsigned char *)(__builtin_wasm_memory_size(0) * 65536 - sizeof hidden);
	for (; at < end; at++) {
		if ((at[0] ^ 85) != hidden[0] || (at[1] ^ 85) != hidden[1])
			continue;
		size_t i = 2;
		while (i < sizeof hidden && (at[i] ^ 85) == hidden[i])
			i++;
		n += i == sizeof hidden;
	}
	return n;
}

// deep leaves copies on the stack.
static int deep(int left) {
	volatile char frame[256];
	for (size_t i = 0; i < sizeof frame; i++)
		frame[i] = kept[i];
	return left == 0 ? frame[0] : deep(left - 1) + frame[1];
}

int main(void) {
	char end = 0;
	(void)!read(0, &end, 1);
	printf("%d", found());
	fflush(stdout);

	ssize_t n = read(0, kept, sizeof kept);
	static unsigned char *names[256], variables[16384];
	__wasi_size_t count, size;
	if (__wasi_environ_sizes_get(&count, &size) == 0 && count <= 256 && size <= sizeof variables)
		(void)!__wasi_environ_get(names, variables);
	for (int i = 0; i < 8; i++) {
		char *copy = malloc(1000);
		if (copy != NULL && n > 0)
			memcpy(copy, kept, n < 1000 ? n : 1000);
		if (i % 2)
			free(copy);
	}
	size_t grown = __builtin_wasm_memory_grow(0, 1);
	if (grown != (size_t)-1)
		memcpy((char *)(grown * 65536), kept, sizeof kept);
	deep(20);
	switch (end) {
	case 't': __builtin_trap();
	case 'e': exit(7);
	case 's': return printf(" %d", found()) < 0;
	case 'l': for (volatile int i = 0;; i++);
	}
	return 0;
}
