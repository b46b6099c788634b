#include <errno.h>
#include <unistd.h>

#include "box.h"

struct sum {
	void (*start)(struct hash *);
	void (*add)(struct hash *, const uint8_t *, size_t);
	void (*end)(struct hash *, uint8_t *);
	size_t size;
};

static int sum_file(const struct sum *s, int fd, const char *path) {
	static uint8_t buffer[64 << 10];
	struct hash h;
	uint8_t digest[64];
	ssize_t n;
	s->start(&h);
	while ((n = read(fd, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			s->add(&h, buffer, (size_t)n);
	if (n < 0)
		return input_failed(path);
	s->end(&h, digest);
	for (size_t i = 0; i < s->size; i++) {
		out_char("0123456789abcdef"[digest[i] >> 4]);
		out_char("0123456789abcdef"[digest[i] & 15]);
	}
	out_text("  ");
	out_text(path);
	out_char('\n');
	return 0;
}

static int sum_all(const struct sum *s, int argc, char **args, const char *usage) {
	int worst = 0;
	for (int i = 1; i < argc; i++)
		if (args[i][0] == '-' && args[i][1] != '\0')
			return bad_option(args[i], usage);
	for (int i = 1; i < argc || i == 1; i++) {
		const char *path = i < argc ? args[i] : "-";
		int fd = open_input(path), status = fd < 0 ? 1 : sum_file(s, fd, path);
		close_input(fd);
		worst |= status;
	}
	return worst;
}

int sha256sum_main(int argc, char **args) {
	static const struct sum s = {sha256_start, sha256_add, sha256_end, 32};
	return sum_all(&s, argc, args, "sha256sum [FILE...]");
}

int sha512sum_main(int argc, char **args) {
	static const struct sum s = {sha512_start, sha512_add, sha512_end, 64};
	return sum_all(&s, argc, args, "sha512sum [FILE...]");
}
