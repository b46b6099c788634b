// draw is a function of the reactor ABI that asks for a random number while it is initialised, and answers every call with it.
#define EXPORT(name) __attribute__((export_name(name)))

__attribute__((import_module("wasi_snapshot_preview1"), import_name("random_get"))) int random_get(void *to, unsigned size);

static unsigned char request[1 << 16], answer[12 + 16];
static unsigned char drawn[8];

EXPORT("_initialize") void initialize(void) { random_get(drawn, sizeof drawn); }
EXPORT("alloc") void *alloc(unsigned size) { return size <= sizeof request ? request : (void *)0; }

EXPORT("handle") unsigned long long handle(const unsigned char *p, unsigned size) {
	answer[8] = 16;
	for (int i = 0; i < 8; i++) {
		answer[12 + 2 * i] = "0123456789abcdef"[drawn[i] >> 4];
		answer[13 + 2 * i] = "0123456789abcdef"[drawn[i] & 15];
	}
	return (unsigned long long)(unsigned)answer << 32 | sizeof answer;
}
