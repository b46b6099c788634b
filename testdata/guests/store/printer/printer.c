// printer writes the headers and the body of each request to the function's log and answers 202. A JSON body is laid out over
// lines, unless the variable RAW is true.
#include <string.h>
#include <unistd.h>

#include "../lib/guest.h"
#include "../lib/json.h"

extern char **environ;

// not_header holds what the classic watchdog puts under Http_ beside the headers of the request.
static bool not_header(const char *name) {
	static const char *const others[] = {"Method=", "Path=", "Query=", "Host=", "ContentLength=", "Transfer_Encoding="};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (has_prefix(name, others[i]))
			return true;
	return false;
}

static void print_headers(void) {
	for (char **entry = environ; *entry != NULL; entry++) {
		if (!has_prefix(*entry, "Http_") || not_header(*entry + strlen("Http_")))
			continue;
		const char *at = *entry + strlen("Http_");
		for (; *at != '\0' && *at != '='; at++)
			out_char(*at == '_' ? '-' : *at);
		out_text("=[");
		out_text(*at == '=' ? at + 1 : at);
		out_text("]\n");
	}
}

static void print_body(void) {
	size_t n, at;
	const char *why, *raw = variable("RAW");
	const uint8_t *body = in_all(0, &n);
	out_char('\n');
	if (has_prefix(variable("Http_Content_Type"), "application/json") && !equal(raw, "true") && !equal(raw, "1") &&
	    json_check(body, n, &at, &why)) {
		json_print(body, n, 4);
		return;
	}
	out_bytes(body, n);
	out_char('\n');
}

int main(void) {
	guest_name = "printer";
	variable("RAW"); // the first look-up is what fills environ
	out_to(2);
	print_headers();
	print_body();
	out_to(1);
	cgi_status(202);
	cgi_body();
	finish(0);
}
