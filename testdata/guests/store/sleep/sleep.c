// sleep waits, then says how long. How long is the first of: a time between the headers X-Min-Sleep and X-Max-Sleep; the header
// X-Sleep; a body that is a duration; the first argument; the variable sleep_duration; two seconds.
#include <string.h>
#include <unistd.h>

#include "../lib/guest.h"

#define SECOND 1000000000ull

static _Noreturn void refuse(const char *what, const char *value) {
	complain(what, ": not a duration up to 24h: ", value);
	cgi_status(400);
	cgi_header("Content-Type", "text/plain; charset=utf-8");
	cgi_body();
	out_text(what);
	out_text(": not a duration up to 24h, such as 250ms or 2s\n");
	finish(0);
}

// between picks evenly enough for a test tool: the bias of the modulus is below 2^-17 for a day.
static uint64_t between(uint64_t low, uint64_t high) {
	uint64_t random = 0;
	if (high <= low || getentropy(&random, sizeof random) != 0)
		return low;
	return low + random % (high - low + 1);
}

static bool from_body(uint64_t *wait) {
	char body[64];
	size_t used = 0, n;
	while (used < sizeof body && (n = in_some(0, body + used, sizeof body - used)) > 0)
		used += n;
	if (used == sizeof body)
		return false;
	while (used > 0 && strchr(" \t\r\n", body[used - 1]) != NULL)
		used--;
	body[used] = '\0';
	return parse_duration(body, wait);
}

static uint64_t wanted(int argc, char **argv) {
	const char *low = variable("Http_X_Min_Sleep"), *high = variable("Http_X_Max_Sleep"), *one = variable("Http_X_Sleep");
	const char *fallback = variable("sleep_duration");
	uint64_t wait, most;
	if (*low != '\0' && *high != '\0') {
		if (!parse_duration(low, &wait))
			refuse("X-Min-Sleep", low);
		if (!parse_duration(high, &most))
			refuse("X-Max-Sleep", high);
		return between(wait, most);
	}
	if (*one != '\0') {
		if (!parse_duration(one, &wait))
			refuse("X-Sleep", one);
		return wait;
	}
	if (from_body(&wait))
		return wait;
	if (argc > 1) {
		if (!parse_duration(argv[1], &wait))
			refuse("argument", argv[1]);
		return wait;
	}
	if (*fallback != '\0') {
		if (!parse_duration(fallback, &wait))
			refuse("sleep_duration", fallback);
		return wait;
	}
	return 2 * SECOND;
}

int main(int argc, char **argv) {
	guest_name = "sleep";
	uint64_t wait = wanted(argc, argv);
	if (!sleep_for(wait)) {
		complain("the host refused to wait", NULL, NULL);
		return 1;
	}
	uint64_t micros = wait / 1000 % 1000000;
	cgi_status(200);
	cgi_header("Content-Type", "text/plain; charset=utf-8");
	cgi_body();
	out_text("Slept for: ");
	out_uint(wait / SECOND);
	out_char('.');
	for (uint64_t digit = 100000; digit > 0; digit /= 10)
		out_char((char)('0' + micros / digit % 10));
	out_char('s');
	finish(0);
}
