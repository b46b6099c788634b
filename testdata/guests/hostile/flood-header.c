// Writes the lines of a CGI header block for ever.
#include <unistd.h>

int main(void) {
	for (;;)
		if (write(1, "X-Line: and another one\n", 24) != 24)
			return 1;
}
