// A command that draws random numbers and the time before it reads its input, as programs do that seed a generator when they start.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(void) {
	unsigned long long seed = 0;
	struct timespec now;
	if (getentropy(&seed, sizeof seed) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0) return 1;
	srand((unsigned)seed);
	int drawn = rand();
	char body[256];
	size_t n = fread(body, 1, sizeof body, stdin);
	printf("seed=%llx rand=%d time=%lld.%09ld input=%.*s\n", seed, drawn, (long long)now.tv_sec, now.tv_nsec, (int)n, body);
	return 0;
}
