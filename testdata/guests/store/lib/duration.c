#include <poll.h>
#include <string.h>
#include <wasi/api.h>

#include "guest.h"

#define SECOND 1000000000ull
#define DAY (86400 * SECOND)

// unit returns the nanoseconds of the unit that text begins with and its length; the two-letter ones come first.
static uint64_t unit(const char *text, size_t *length) {
	static const struct {
		const char *name;
		uint64_t nanoseconds;
	} units[] = {
		{"ns", 1}, {"us", 1000}, {"\xc2\xb5s", 1000}, {"ms", 1000000}, {"s", SECOND}, {"m", 60 * SECOND}, {"h", 3600 * SECOND},
	};
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (has_prefix(text, units[i].name)) {
			*length = strlen(units[i].name);
			return units[i].nanoseconds;
		}
	return 0;
}

// number reads digits with at most one point and returns how many characters it took; 0 when there is no digit. The value is
// whole + fraction / scale.
static size_t number(const char *text, uint64_t *whole, uint64_t *fraction, uint64_t *scale) {
	size_t at = 0, digits = 0;
	*whole = *fraction = 0;
	*scale = 1;
	for (; text[at] >= '0' && text[at] <= '9'; at++, digits++) {
		if (*whole > DAY)
			return 0;
		*whole = *whole * 10 + (uint64_t)(text[at] - '0');
	}
	if (text[at] == '.')
		for (at++; text[at] >= '0' && text[at] <= '9'; at++, digits++)
			if (*scale < SECOND) { // digits below a billionth of a unit are read and have no weight
				*fraction = *fraction * 10 + (uint64_t)(text[at] - '0');
				*scale *= 10;
			}
	return digits == 0 ? 0 : at;
}

bool parse_duration(const char *text, uint64_t *nanoseconds) {
	uint64_t sum = 0;
	if (*text == '\0')
		return false;
	for (bool first = true; *text != '\0'; first = false) {
		uint64_t whole, fraction, scale;
		size_t length = 0, taken = number(text, &whole, &fraction, &scale);
		if (taken == 0)
			return false;
		text += taken;
		uint64_t each = *text == '\0' && first ? SECOND : unit(text, &length);
		if (each == 0 || whole > DAY / each)
			return false;
		text += length;
		sum += whole * each + (uint64_t)((double)fraction / (double)scale * (double)each);
		if (sum > DAY)
			return false;
	}
	*nanoseconds = sum;
	return true;
}

bool sleep_for(uint64_t nanoseconds) {
	__wasi_subscription_t timer = {
		.u = {.tag = __WASI_EVENTTYPE_CLOCK,
		      .u.clock = {.id = __WASI_CLOCKID_MONOTONIC, .timeout = nanoseconds, .precision = 0, .flags = 0}},
	};
	__wasi_event_t event;
	__wasi_size_t events;
	return __wasi_poll_oneoff(&timer, &event, 1, &events) == 0 && events == 1 && event.error == 0;
}
