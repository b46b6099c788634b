#include "guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char out[32 << 10];
static size_t out_used;
static int out_fd = 1;
const char *guest_name = "guest";

bool write_all(int fd, const void *bytes, size_t n) {
	const char *at = bytes;
	while (n > 0) {
		ssize_t wrote = write(fd, at, n);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return false;
		at += wrote;
		n -= (size_t)wrote;
	}
	return true;
}

void complain(const char *a, const char *b, const char *c) {
	const char *parts[] = {guest_name, ": ", a, b, c, "\n"};
	char line[512];
	size_t used = 0;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		if (parts[i] == NULL)
			continue;
		size_t n = strlen(parts[i]);
		if (n > sizeof line - 1 - used)
			n = sizeof line - 1 - used;
		memcpy(line + used, parts[i], n);
		used += n;
	}
	if (line[used - 1] != '\n')
		line[used++] = '\n';
	write_all(2, line, used);
}

static _Noreturn void output_failed(void) {
	complain("cannot write the output", NULL, NULL);
	_Exit(1);
}

void out_flush(void) {
	size_t n = out_used;
	out_used = 0;
	if (!write_all(out_fd, out, n))
		output_failed();
}

void out_bytes(const void *bytes, size_t n) {
	if (n > sizeof out - out_used)
		out_flush();
	if (n > sizeof out) {
		if (!write_all(out_fd, bytes, n))
			output_failed();
		return;
	}
	memcpy(out + out_used, bytes, n);
	out_used += n;
}

void out_to(int fd) {
	out_flush();
	out_fd = fd;
}

void out_text(const char *text) { out_bytes(text, strlen(text)); }

void out_char(char c) {
	if (out_used == sizeof out)
		out_flush();
	out[out_used++] = c;
}

void out_uint_wide(uint64_t value, unsigned width) {
	char digits[20];
	unsigned n = 0;
	do {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	for (; width > n; width--)
		out_char(' ');
	while (n > 0)
		out_char(digits[--n]);
}

void out_uint(uint64_t value) { out_uint_wide(value, 0); }

void finish(int status) {
	out_flush();
	_Exit(status);
}

size_t in_some(int fd, void *buffer, size_t n) {
	for (;;) {
		ssize_t got = read(fd, buffer, n);
		if (got >= 0)
			return (size_t)got;
		if (errno != EINTR) {
			complain("cannot read the input", NULL, NULL);
			finish(1);
		}
	}
}

uint8_t *in_all(int fd, size_t *n) {
	size_t room = 32 << 10;
	uint8_t *all = malloc(room);
	*n = 0;
	for (;;) {
		if (all == NULL) {
			complain("not enough memory for the input", NULL, NULL);
			finish(1);
		}
		size_t got = in_some(fd, all + *n, room - *n);
		if (got == 0)
			return all;
		*n += got;
		if (*n == room)
			all = realloc(all, room *= 2);
	}
}

static const char *reason(unsigned code) {
	static const struct {
		unsigned code;
		const char *text;
	} reasons[] = {
		{200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"}, {301, "Moved Permanently"}, {302, "Found"},
		{303, "See Other"}, {304, "Not Modified"}, {307, "Temporary Redirect"}, {308, "Permanent Redirect"}, {400, "Bad Request"},
		{401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"}, {408, "Request Timeout"},
		{409, "Conflict"}, {410, "Gone"}, {413, "Content Too Large"}, {418, "I'm a teapot"}, {422, "Unprocessable Content"},
		{429, "Too Many Requests"}, {500, "Internal Server Error"}, {501, "Not Implemented"}, {502, "Bad Gateway"},
		{503, "Service Unavailable"}, {504, "Gateway Timeout"},
	};
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (reasons[i].code == code)
			return reasons[i].text;
	return "Status";
}

void cgi_status(unsigned code) {
	out_text("Status: ");
	out_uint(code);
	out_char(' ');
	out_text(reason(code));
	out_text("\r\n");
}

void cgi_header(const char *name, const char *value) {
	out_text(name);
	out_text(": ");
	for (; *value != '\0'; value++)
		out_char((unsigned char)*value < ' ' || *value == 0x7f ? ' ' : *value);
	out_text("\r\n");
}

void cgi_body(void) { out_text("\r\n"); }

const char *variable(const char *name) {
	const char *value = getenv(name);
	return value == NULL ? "" : value;
}

bool equal(const char *a, const char *b) { return strcmp(a, b) == 0; }

bool has_prefix(const char *text, const char *prefix) { return strncmp(text, prefix, strlen(prefix)) == 0; }

bool parse_uint(const char *text, uint64_t limit, uint64_t *value) {
	uint64_t sum = 0;
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		unsigned digit = (unsigned)(*text - '0');
		if (sum > limit / 10 || sum * 10 + digit > limit)
			return false;
		sum = sum * 10 + digit;
	}
	*value = sum;
	return true;
}
