#include <string.h>

#include "box.h"

static const char usage[] = "base64 [-d] [-w COLUMNS] [FILE]";
static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static uint64_t width = 76, column;

static void put(char c) {
	out_char(c);
	if (++column == width) {
		out_char('\n');
		column = 0;
	}
}

static int encode(int fd) {
	static uint8_t buffer[48 << 10]; // a multiple of three
	size_t n = 0, got;
	do {
		got = in_some(fd, buffer + n, sizeof buffer - n);
		n += got;
		if (got > 0 && n < sizeof buffer)
			continue;
		for (size_t i = 0; i < n; i += 3) {
			uint32_t group = (uint32_t)buffer[i] << 16;
			group |= i + 1 < n ? (uint32_t)buffer[i + 1] << 8 : 0;
			group |= i + 2 < n ? buffer[i + 2] : 0;
			put(letters[group >> 18]);
			put(letters[group >> 12 & 63]);
			put(i + 1 < n ? letters[group >> 6 & 63] : '=');
			put(i + 2 < n ? letters[group & 63] : '=');
		}
		n = 0;
	} while (got > 0);
	if (width > 0 && column > 0)
		out_char('\n');
	return 0;
}

static int value_of(uint8_t c) {
	const char *at = c == '\0' ? NULL : memchr(letters, c, 64);
	return at == NULL ? -1 : (int)(at - letters);
}

// decode takes groups of four letters; line ends may stand anywhere; = only fills the last group.
static int decode(int fd) {
	static uint8_t buffer[48 << 10];
	uint32_t group = 0;
	unsigned have = 0, fill = 0;
	for (size_t n; (n = in_some(fd, buffer, sizeof buffer)) > 0;)
		for (size_t i = 0; i < n; i++) {
			if (buffer[i] == '\n' || buffer[i] == '\r')
				continue;
			int value = buffer[i] == '=' && have >= 2 ? 0 : value_of(buffer[i]);
			bool ended = fill > 0 && (have == 0 || buffer[i] != '=');
			if (value < 0 || ended)
				goto invalid;
			fill += buffer[i] == '=';
			group = group << 6 | (uint32_t)value;
			if (++have < 4)
				continue;
			const uint8_t bytes[] = {(uint8_t)(group >> 16), (uint8_t)(group >> 8), (uint8_t)group};
			out_bytes(bytes, 3 - fill);
			have = 0;
		}
	if (have == 0)
		return 0;
invalid:
	out_flush();
	complain("invalid input", NULL, NULL);
	return 1;
}

int base64_main(int argc, char **args) {
	bool decoding = false;
	int at = 1;
	for (; at < argc && args[at][0] == '-' && args[at][1] != '\0'; at++) {
		if (equal(args[at], "-d") || equal(args[at], "--decode"))
			decoding = true;
		else if (!equal(args[at], "-w") || ++at == argc || !parse_uint(args[at], UINT32_MAX, &width))
			return bad_option(args[at < argc ? at : argc - 1], usage);
	}
	if (argc - at > 1)
		return bad_option(args[at + 1], usage);
	int fd = open_input(at < argc ? args[at] : "-");
	return fd < 0 ? 1 : decoding ? decode(fd) : encode(fd);
}
