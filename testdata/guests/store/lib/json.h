#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// json_check says whether the n bytes are one JSON text (RFC 8259; bytes above 0x7f inside strings are taken as they are; at most
// 10,000 levels). When they are not, *at is the offset where the text stops being JSON and *why a sentence's end.
bool json_check(const uint8_t *text, size_t n, size_t *at, const char **why);

// json_print writes a text that json_check accepted through out_*, one element per line, with indent spaces a level.
void json_print(const uint8_t *text, size_t n, unsigned indent);

#endif
