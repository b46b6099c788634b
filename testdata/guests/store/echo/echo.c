// echo answers with the request's body and the request's Content-Type.
#include "../lib/guest.h"

int main(void) {
	static char buffer[64 << 10];
	guest_name = "echo";
	const char *type = variable("Http_Content_Type");
	cgi_status(200);
	cgi_header("Content-Type", *type == '\0' ? "application/octet-stream" : type);
	cgi_body();
	for (size_t n; (n = in_some(0, buffer, sizeof buffer)) > 0;)
		out_bytes(buffer, n);
	out_flush();
	return 0;
}
