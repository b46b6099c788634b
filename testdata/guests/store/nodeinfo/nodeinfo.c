// nodeinfo answers with what a function can learn about the place it runs in: little, as it should be.
#include <string.h>
#include <wasi/api.h>

#include "../lib/guest.h"

#define PAGE (64 << 10)

static uint64_t clock_now(__wasi_clockid_t id) {
	__wasi_timestamp_t now = 0;
	return __wasi_clock_time_get(id, 1, &now) == 0 ? now : 0;
}

// label begins a line, or ends the one before it when the name begins with a newline.
static void label(const char *name) {
	out_text(name);
	for (size_t n = strlen(name) - (*name == '\n'); n < 14; n++)
		out_char(' ');
}

static void row(const char *name, const char *value) {
	label(name);
	out_text(value);
	out_char('\n');
}

static void two(uint64_t value) {
	out_char((char)('0' + value / 10 % 10));
	out_char((char)('0' + value % 10));
}

// print_time writes a Unix time as UTC; the date arithmetic counts years from 1 March, so that a leap day ends its year.
static void print_time(uint64_t seconds) {
	uint64_t days = seconds / 86400 + 719468, era = days / 146097, day = days % 146097;
	uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	uint64_t of_year = day - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
	uint64_t of_month = of_year - (153 * month + 2) / 5 + 1;
	month = month < 10 ? month + 3 : month - 9;
	out_uint(year + era * 400 + (month <= 2));
	out_char('-');
	two(month);
	out_char('-');
	two(of_month);
	out_char('T');
	two(seconds / 3600 % 24);
	out_char(':');
	two(seconds / 60 % 60);
	out_char(':');
	two(seconds % 60);
	out_text("Z\n");
}

static void print_directories(void) {
	char name[256];
	__wasi_prestat_t found;
	bool any = false;
	for (__wasi_fd_t fd = 3; __wasi_fd_prestat_get(fd, &found) == 0; fd++) {
		size_t n = found.u.dir.pr_name_len;
		if (n > sizeof name || __wasi_fd_prestat_dir_name(fd, (uint8_t *)name, n) != 0)
			continue;
		n = strnlen(name, n);
		out_bytes(any ? " " : "", any);
		out_bytes(name, n);
		any = true;
	}
	out_text(any ? "\n" : "none\n");
}

int main(int argc, char **argv) {
	guest_name = "nodeinfo";
	const char *host = variable("HOSTNAME");
	__wasi_size_t count = 0, size = 0;
	row("hostname", *host == '\0' ? "none" : host);
	row("architecture", "wasm32");
	row("platform", "WASI preview 1");
	row("processors", "1");
	label("memory");
	out_uint(__builtin_wasm_memory_size(0) * PAGE / 1024);
	out_text(" KiB\n");
	label("time");
	print_time(clock_now(__WASI_CLOCKID_REALTIME) / 1000000000);
	label("uptime");
	out_uint(clock_now(__WASI_CLOCKID_MONOTONIC) / 1000000000);
	out_text(" s\n");
	label("arguments");
	for (int i = 0; i < argc; i++) {
		out_bytes(" ", i > 0);
		out_text(argv[i]);
	}
	label("\nvariables");
	if (__wasi_environ_sizes_get(&count, &size) == 0)
		out_uint(count);
	label("\ndirectories");
	print_directories();
	finish(0);
}
