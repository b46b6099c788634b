#ifndef BOX_H
#define BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../lib/guest.h"

// An applet gets its own arguments, args[0] being its name, and returns the exit status. Output through out_* is flushed after it.
typedef int applet(int argc, char **args);

applet cat_main, head_main, tail_main, wc_main;          // text.c
applet base64_main;                                      // base64.c
applet sha256sum_main, sha512sum_main;                   // sums.c
applet echo_main, env_main, printenv_main, sleep_main;   // words.c
applet true_main, false_main;

// open_input opens a file for reading; "-" is standard input. -1 after a complaint.
int open_input(const char *path);
void close_input(int fd);
// input_failed complains about the file after a failed read or open and returns the exit status 1.
int input_failed(const char *path);
// bad_option complains and returns the exit status 2.
int bad_option(const char *option, const char *usage);

// A hash takes its input in any pieces. A digest has 32 bytes (sha256) or 64 (sha512).
struct hash {
	uint64_t state[8];
	uint64_t length;
	uint8_t block[128];
};
void sha256_start(struct hash *h);
void sha256_add(struct hash *h, const uint8_t *bytes, size_t n);
void sha256_end(struct hash *h, uint8_t *digest);
void sha512_start(struct hash *h);
void sha512_add(struct hash *h, const uint8_t *bytes, size_t n);
void sha512_end(struct hash *h, uint8_t *digest);

#endif
