// redirect answers 302 with the Location that the variable `destination` holds.
#include "../lib/guest.h"

int main(void) {
	guest_name = "redirect";
	const char *destination = variable("destination");
	if (*destination == '\0') {
		complain("the variable destination is empty; set it to the address to send callers to", NULL, NULL);
		return 1;
	}
	cgi_status(302);
	cgi_header("Location", destination);
	cgi_body();
	out_flush();
	return 0;
}
