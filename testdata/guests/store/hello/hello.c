// hello answers "Hello, NAME!" where NAME is the request's body without the newlines after it, or "world".
#include "../lib/guest.h"

int main(void) {
	static char buffer[32 << 10];
	size_t n, held = 0; // newlines read that are not known yet to be inside the name
	bool named = false;
	out_text("Hello, ");
	while ((n = in_some(0, buffer, sizeof buffer)) > 0) {
		size_t end = n;
		while (end > 0 && buffer[end - 1] == '\n')
			end--;
		if (end > 0) {
			for (; held > 0; held--)
				out_char('\n');
			out_bytes(buffer, end);
			named = true;
		}
		held += n - end;
	}
	if (!named)
		out_text("world");
	out_text("!\n");
	finish(0);
}
