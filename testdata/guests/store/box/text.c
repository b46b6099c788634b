#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "box.h"

static uint8_t buffer[64 << 10];

// next reads a piece of a file; -1 on an error, which errno names.
static ssize_t next(int fd) {
	ssize_t n;
	do
		n = read(fd, buffer, sizeof buffer);
	while (n < 0 && errno == EINTR);
	return n;
}

// each_input runs do_file for every path, for standard input when there is none, and returns the worst status.
static int each_input(int argc, char **paths, int (*do_file)(int fd, const char *path)) {
	static char *standard[] = {"-"};
	int worst = 0;
	if (argc == 0) {
		argc = 1;
		paths = standard;
	}
	for (int i = 0; i < argc; i++) {
		int fd = open_input(paths[i]), status = fd < 0 ? 1 : do_file(fd, paths[i]);
		close_input(fd);
		if (status > worst)
			worst = status;
	}
	return worst;
}

// copy writes each piece as it is read, past the output's buffer: a small body costs one read, one write and the read that ends it.
static int copy(int fd, const char *path) {
	ssize_t n;
	while ((n = next(fd)) > 0)
		if (!write_all(1, buffer, (size_t)n)) {
			complain("cannot write the output", NULL, NULL);
			return 1;
		}
	return n < 0 ? input_failed(path) : 0;
}

int cat_main(int argc, char **args) {
	for (int i = 1; i < argc; i++)
		if (args[i][0] == '-' && args[i][1] != '\0' && !equal(args[i], "-u"))
			return bad_option(args[i], "cat [FILE...]");
	int first = argc > 1 && equal(args[1], "-u") ? 2 : 1;
	return each_input(argc - first, args + first, copy);
}

static struct {
	bool lines, words, bytes, any;
	uint64_t sum[3];
	bool wide;
} wc;

static void wc_row(const uint64_t count[3], const char *path) {
	const bool shown[] = {wc.lines || !wc.any, wc.words || !wc.any, wc.bytes || !wc.any};
	bool first = true;
	for (int i = 0; i < 3; i++) {
		if (!shown[i])
			continue;
		if (!first)
			out_char(' ');
		out_uint_wide(count[i], wc.wide ? 7 : 0);
		first = false;
	}
	if (!equal(path, "-")) {
		out_char(' ');
		out_text(path);
	}
	out_char('\n');
}

static int wc_file(int fd, const char *path) {
	uint64_t count[3] = {0};
	bool inside = false;
	ssize_t n;
	while ((n = next(fd)) > 0) {
		count[2] += (uint64_t)n;
		for (ssize_t i = 0; i < n; i++) {
			uint8_t c = buffer[i];
			bool blank = c == ' ' || (c >= '\t' && c <= '\r');
			count[0] += c == '\n';
			count[1] += !blank && !inside;
			inside = !blank;
		}
	}
	if (n < 0)
		return input_failed(path);
	for (int i = 0; i < 3; i++)
		wc.sum[i] += count[i];
	wc_row(count, path);
	return 0;
}

int wc_main(int argc, char **args) {
	int at = 1;
	for (; at < argc && args[at][0] == '-' && args[at][1] != '\0'; at++)
		for (const char *letter = args[at] + 1; *letter != '\0'; letter++) {
			if (strchr("lwc", *letter) == NULL)
				return bad_option(args[at], "wc [-lwc] [FILE...]");
			wc.lines |= *letter == 'l';
			wc.words |= *letter == 'w';
			wc.bytes |= *letter == 'c';
			wc.any = true;
		}
	wc.wide = argc - at > 1 || !wc.any || wc.lines + wc.words + wc.bytes > 1;
	int status = each_input(argc - at, args + at, wc_file);
	if (argc - at > 1)
		wc_row(wc.sum, "total");
	return status;
}

// how_many is what -n N, -c N and -N ask of head and tail.
static struct {
	uint64_t count;
	bool bytes;
} how_many;

// count_options reads those options; 0 after a complaint, else the index of the first path.
static int count_options(int argc, char **args, const char *usage) {
	int at = 1;
	how_many.count = 10;
	for (; at < argc && args[at][0] == '-' && args[at][1] != '\0'; at++) {
		const char *number = args[at] + 1;
		how_many.bytes = *number == 'c';
		if (*number == 'n' || *number == 'c')
			number = number[1] != '\0' ? number + 1 : at + 1 < argc ? args[++at] : "";
		if (!parse_uint(number, UINT64_MAX, &how_many.count)) {
			bad_option(args[at], usage);
			return 0;
		}
	}
	if (argc - at > 1) {
		bad_option(args[at + 1], usage);
		return 0;
	}
	return at;
}

static int head_file(int fd, const char *path) {
	uint64_t left = how_many.count;
	ssize_t n = 0;
	while (left > 0 && (n = next(fd)) > 0) {
		size_t take = 0;
		if (how_many.bytes) {
			take = (uint64_t)n < left ? (size_t)n : (size_t)left;
			left -= take;
		} else {
			while (take < (size_t)n && left > 0)
				left -= buffer[take++] == '\n';
		}
		out_bytes(buffer, take);
	}
	return n < 0 ? input_failed(path) : 0;
}

int head_main(int argc, char **args) {
	int at = count_options(argc, args, "head [-n LINES | -c BYTES] [FILE]");
	return at == 0 ? 2 : each_input(argc - at, args + at, head_file);
}

static int tail_file(int fd, const char *path) {
	size_t n, from;
	const uint8_t *all = in_all(fd, &n);
	if (how_many.bytes) {
		from = how_many.count < n ? n - (size_t)how_many.count : 0;
	} else if (how_many.count == 0) {
		from = n;
	} else {
		uint64_t left = how_many.count;
		for (from = n; from > 0; from--) // the newline that ends the last line does not begin another one
			if (all[from - 1] == '\n' && from < n && --left == 0)
				break;
	}
	out_bytes(all + from, n - from);
	return 0;
}

int tail_main(int argc, char **args) {
	int at = count_options(argc, args, "tail [-n LINES | -c BYTES] [FILE]");
	return at == 0 ? 2 : each_input(argc - at, args + at, tail_file);
}
