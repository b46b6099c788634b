// guest.h: what the store's programs share. Output is collected in one buffer so that a small answer is one fd_write; nothing
// here uses stdio, which would triple the size of most modules.
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// out_* append to standard output. A failed write ends the program with status 1.
void out_bytes(const void *bytes, size_t n);
void out_text(const char *text);
void out_char(char c);
void out_uint(uint64_t value);
// out_uint_wide pads with spaces on the left up to width characters.
void out_uint_wide(uint64_t value, unsigned width);
void out_flush(void);
// out_to flushes and sends what follows to another descriptor.
void out_to(int fd);

// write_all writes straight to a descriptor, past the buffer, however short each write is; false on an error.
bool write_all(int fd, const void *bytes, size_t n);

// in_some reads at most n bytes of a descriptor: 0 at the end; a failed read ends the program with status 1.
size_t in_some(int fd, void *buffer, size_t n);
// in_all reads a descriptor to its end into memory of its own.
uint8_t *in_all(int fd, size_t *n);

// complain writes "NAME: a b\n" to standard error, where NAME is guest_name; any part may be NULL.
extern const char *guest_name;
void complain(const char *a, const char *b, const char *c);
// finish flushes and ends the program.
_Noreturn void finish(int status);

// cgi_status begins a CGI header block ("Status: 302 Found"), cgi_header adds a line to it, cgi_body ends it. Control characters in
// a value become spaces, so that no value can add a line.
void cgi_status(unsigned code);
void cgi_header(const char *name, const char *value);
void cgi_body(void);

// variable is getenv that takes "" for an unset name.
const char *variable(const char *name);

bool equal(const char *a, const char *b);
bool has_prefix(const char *text, const char *prefix);

// parse_uint reads decimal digits only, up to limit; false on anything else, an empty text included.
bool parse_uint(const char *text, uint64_t limit, uint64_t *value);
// parse_duration reads a Go duration ("1.5s", "1m30s", "250ms") or bare seconds ("2", "0.5"), up to one day, as nanoseconds.
bool parse_duration(const char *text, uint64_t *nanoseconds);
// sleep_for returns false when the host refuses.
bool sleep_for(uint64_t nanoseconds);

#endif
