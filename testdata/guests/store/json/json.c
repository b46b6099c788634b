// json answers with the JSON text it was sent, one element per line, or with 400 and the place where the text stops being JSON.
#include "../lib/json.h"
#include "../lib/guest.h"

int main(void) {
	size_t n, at;
	const char *why;
	guest_name = "json";
	const uint8_t *text = in_all(0, &n);
	if (!json_check(text, n, &at, &why)) {
		cgi_status(400);
		cgi_header("Content-Type", "text/plain; charset=utf-8");
		cgi_body();
		out_text("not JSON: byte ");
		out_uint(at);
		out_text(": ");
		out_text(why);
		out_char('\n');
		finish(0);
	}
	cgi_status(200);
	cgi_header("Content-Type", "application/json");
	cgi_body();
	json_print(text, n, 2);
	finish(0);
}
