// The allocator of the store's programs: memory is handed out in order and given back by the end of the program, which is the end of
// the request. It stands in for libc's, which is larger than most of these programs.
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PAGE ((size_t)64 << 10)
#define ALIGN ((size_t)16)

extern unsigned char __heap_base;
static uintptr_t next, last; // next is the first free address, last the newest allocation

// reserve makes the memory reach at least end.
static int reserve(uintptr_t end) {
	size_t have = __builtin_wasm_memory_size(0) * PAGE;
	return end <= have || __builtin_wasm_memory_grow(0, (end - have + PAGE - 1) / PAGE) != SIZE_MAX;
}

void *malloc(size_t n) {
	if (next == 0)
		next = (uintptr_t)&__heap_base;
	uintptr_t start = (next + ALIGN - 1) & ~(ALIGN - 1);
	if (n > SIZE_MAX - PAGE - start || !reserve(start + n)) {
		errno = ENOMEM;
		return NULL;
	}
	last = start;
	next = start + n;
	return (void *)start;
}

void free(void *p) { (void)p; }

void *calloc(size_t count, size_t size) {
	size_t n;
	if (__builtin_mul_overflow(count, size, &n)) {
		errno = ENOMEM;
		return NULL;
	}
	return malloc(n); // memory that was never handed out is zero
}

// realloc serves the newest allocation only, in place: nothing here grows another one.
void *realloc(void *p, size_t n) {
	if (p == NULL)
		return malloc(n);
	if ((uintptr_t)p != last)
		abort();
	next = last;
	return malloc(n);
}
