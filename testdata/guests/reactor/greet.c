// greet is a function of the reactor ABI (docs/abi/reactor.md) without a C library: it answers "hello " and the body, with what it knows
// of the request in headers. It counts its calls in a global, to show that every call begins in the same state.
//
// Paths of their own: /status answers 418, /trap traps, /loop never ends, /far and /short answer with a frame that is none, /big
// with more than may be, /grow takes a megabyte more memory.
#define EXPORT(name) __attribute__((export_name(name)))

typedef unsigned int u32;
typedef unsigned long long u64;

static unsigned char request[1 << 20], answer[1 << 20];
static u32 calls, restores, initialised;

EXPORT("_initialize") void initialize(void) { initialised++; }
EXPORT("on_restore") void restored(void) { restores++; }
EXPORT("alloc") void *alloc(u32 size) { return size <= sizeof request ? request : (void *)0; }

static u32 number(const unsigned char *p) { return p[0] | p[1] << 8 | p[2] << 16 | (u32)p[3] << 24; }
static unsigned char *put(unsigned char *to, const void *from, u32 n) {
	for (u32 i = 0; i < n; i++)
		to[i] = ((const unsigned char *)from)[i];
	return to + n;
}
static unsigned char *text(unsigned char *to, const char *from) {
	u32 n = 0;
	while (from[n])
		n++;
	return put(to, from, n);
}
static void store(unsigned char *p, u32 n) {
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(n >> 8 * i);
}
static int is(const unsigned char *path, u32 n, const char *want) {
	for (u32 i = 0; i < n; i++)
		if (want[i] == 0 || path[i] != (unsigned char)want[i])
			return 0;
	return want[n] == 0;
}
static u64 at(const void *p, u32 n) { return (u64)(u32)p << 32 | n; }

EXPORT("handle") u64 handle(const unsigned char *p, u32 size) {
	u32 lengths[5];
	for (int i = 0; i < 5; i++)
		lengths[i] = number(p + 4 * i);
	const unsigned char *method = p + 20, *path = method + lengths[0], *query = path + lengths[1];
	const unsigned char *header = query + lengths[2], *body = header + lengths[3];
	u32 status = 0;
	if (is(path, lengths[1], "/trap"))
		__builtin_trap();
	if (is(path, lengths[1], "/loop"))
		for (volatile u32 i = 0;; i++)
			;
	if (is(path, lengths[1], "/far"))
		return at((void *)0xfffffff0u, 64);
	if (is(path, lengths[1], "/short"))
		return at(answer, 4);
	if (is(path, lengths[1], "/big"))
		return at(answer, 0x7fffffff);
	if (is(path, lengths[1], "/grow"))
		__builtin_wasm_memory_grow(0, 16);
	if (is(path, lengths[1], "/status"))
		status = 418;
	unsigned char *to = answer + 12;
	calls++;
	to = text(to, "X-Method: ");
	to = put(to, method, lengths[0]);
	to = text(to, "\nX-Query: ");
	to = put(to, query, lengths[2]);
	to = text(to, "\nX-Lines: ");
	u32 lines = 0;
	for (u32 i = 0; i < lengths[3]; i++)
		lines += header[i] == '\n';
	*to++ = (unsigned char)('0' + lines);
	to = text(to, "\nX-State: ");
	*to++ = (unsigned char)('0' + calls);
	*to++ = (unsigned char)('0' + restores);
	*to++ = (unsigned char)('0' + initialised);
	to = text(to, "\n");
	store(answer, status);
	store(answer + 4, (u32)(to - answer) - 12);
	unsigned char *start = to;
	to = text(to, "hello ");
	to = put(to, body, lengths[4]);
	store(answer + 8, (u32)(to - start));
	return at(answer, (u32)(to - answer));
}
