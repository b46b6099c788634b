// status answers with the HTTP status that the request asks for: the query's first parameter `code`, else the path's last element,
// else 200. What a client, a retry or an alert does on an error can be tried with it.
#include <string.h>

#include "../lib/guest.h"

// asked copies the requested code as text into code and returns false when there is none.
static bool asked(char *code, size_t room) {
	const char *query = variable("Http_Query"), *path = variable("Http_Path"), *from = NULL;
	size_t n = 0;
	for (const char *at = query; at != NULL; at = strchr(at, '&')) {
		at += *at == '&';
		if (has_prefix(at, "code=")) {
			from = at + strlen("code=");
			n = strcspn(from, "&");
			break;
		}
	}
	if (from == NULL) {
		from = strrchr(path, '/');
		from = from == NULL ? path : from + 1;
		n = strlen(from);
	}
	if (n >= room)
		n = room - 1;
	memcpy(code, from, n);
	code[n] = '\0';
	return n > 0;
}

int main(void) {
	char text[32];
	uint64_t code = 200;
	if (asked(text, sizeof text) && (!parse_uint(text, 599, &code) || code < 200)) {
		cgi_status(400);
		cgi_header("Content-Type", "text/plain; charset=utf-8");
		cgi_body();
		out_text("code: not a status from 200 to 599\n");
		finish(0);
	}
	cgi_status((unsigned)code);
	if (code >= 300 && code <= 308 && code != 304)
		cgi_header("Location", "/");
	if (code == 429 || code == 503)
		cgi_header("Retry-After", "1");
	cgi_header("Content-Type", "text/plain; charset=utf-8");
	cgi_body();
	if (code != 204 && code != 304) {
		out_uint(code);
		out_char('\n');
	}
	finish(0);
}
