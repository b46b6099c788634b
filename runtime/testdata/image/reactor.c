// A reactor with 32 MiB of static memory, as a program with its own heap has. Built without a C library.
#define EXPORT(name) __attribute__((export_name(name)))

static unsigned char arena[32 << 20];
static unsigned count = 1;

// next counts calls: in a pristine instance it is always 1.
EXPORT("next") unsigned next(void) { return count++; }

// dirty writes one byte in each of n pages and returns what was there before, summed up: 0 in a pristine instance.
EXPORT("dirty") unsigned dirty(unsigned n) {
	unsigned sum = 0;
	for (unsigned i = 0; i < n; i++) {
		sum += arena[i * 4096];
		arena[i * 4096] = (unsigned char)(i | 1);
	}
	return sum;
}

// grow adds pages of 64 KiB, returns what their first and last bytes hold and writes them.
EXPORT("grow") unsigned grow(unsigned pages) {
	unsigned char *p = (unsigned char *)(__builtin_wasm_memory_grow(0, pages) << 16);
	unsigned char *last = p + (pages << 16) - 1;
	unsigned sum = *p + *last;
	*p = *last = 0xff;
	return sum;
}

// fill writes n bytes of the arena and returns their sum: the work of a call.
EXPORT("fill") unsigned fill(unsigned n, unsigned value) {
	unsigned sum = 0;
	for (unsigned i = 0; i < n; i++) {
		arena[i] += (unsigned char)value;
		sum += arena[i];
	}
	return sum;
}
