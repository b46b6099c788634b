#include "json.h"

#include <string.h>

#include "guest.h"

#define LEVELS 10000

struct reader {
	const uint8_t *text;
	size_t n, at;
	const char *why;
};

static bool fail(struct reader *r, const char *why) {
	r->why = r->at < r->n ? why : "the text ends too early";
	return false;
}

static bool blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static bool digit(uint8_t c) { return c >= '0' && c <= '9'; }
static bool hex(uint8_t c) { return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// peek returns the byte at the reader, or 0, which begins nothing in JSON.
static uint8_t peek(const struct reader *r) { return r->at < r->n ? r->text[r->at] : 0; }

static uint8_t skip_blanks(struct reader *r) {
	while (r->at < r->n && blank(r->text[r->at]))
		r->at++;
	return peek(r);
}

static bool word(struct reader *r, const char *expected) {
	for (; *expected != '\0'; expected++, r->at++)
		if (peek(r) != (uint8_t)*expected)
			return fail(r, "not true, false or null");
	return true;
}

static bool escape(struct reader *r) {
	uint8_t c = peek(r);
	if (c == 0 || strchr("\"\\/bfnrtu", c) == NULL)
		return fail(r, "not an escape");
	r->at++;
	for (int i = 0; c == 'u' && i < 4; i++, r->at++)
		if (!hex(peek(r)))
			return fail(r, "four hexadecimal digits expected");
	return true;
}

static bool string(struct reader *r) {
	if (peek(r) != '"')
		return fail(r, "a string expected");
	for (r->at++; r->at < r->n;) {
		uint8_t c = r->text[r->at];
		if (c < ' ')
			return fail(r, "a control character inside a string");
		r->at++;
		if (c == '"')
			return true;
		if (c == '\\' && !escape(r))
			return false;
	}
	return fail(r, NULL);
}

static bool digits(struct reader *r) {
	if (!digit(peek(r)))
		return fail(r, "a digit expected");
	while (digit(peek(r)))
		r->at++;
	return true;
}

static bool number(struct reader *r) {
	if (peek(r) == '-')
		r->at++;
	if (peek(r) == '0')
		r->at++;
	else if (!digits(r))
		return false;
	if (peek(r) == '.' && (r->at++, !digits(r)))
		return false;
	if (peek(r) == 'e' || peek(r) == 'E') {
		r->at++;
		if (peek(r) == '+' || peek(r) == '-')
			r->at++;
		return digits(r);
	}
	return true;
}

static bool scalar(struct reader *r) {
	switch (peek(r)) {
	case '"':
		return string(r);
	case 't':
		return word(r, "true");
	case 'f':
		return word(r, "false");
	case 'n':
		return word(r, "null");
	default:
		return peek(r) == '-' || digit(peek(r)) ? number(r) : fail(r, "a value expected");
	}
}

// levels remembers for each open level whether it is an object, one bit each: deep input costs no native stack.
struct levels {
	uint8_t bits[(LEVELS + 7) / 8];
	size_t depth;
};

static bool in_object(const struct levels *l) { return (l->bits[(l->depth - 1) / 8] >> (l->depth - 1) % 8) & 1; }

static bool enter(struct reader *r, struct levels *l, bool object) {
	if (l->depth == LEVELS)
		return fail(r, "more than 10,000 levels");
	uint8_t bit = (uint8_t)(1u << l->depth % 8);
	l->bits[l->depth / 8] = (uint8_t)(object ? l->bits[l->depth / 8] | bit : l->bits[l->depth / 8] & ~bit);
	l->depth++;
	r->at++;
	return true;
}

static bool key(struct reader *r) {
	skip_blanks(r);
	if (!string(r))
		return false;
	if (skip_blanks(r) != ':')
		return fail(r, "a colon expected");
	r->at++;
	return true;
}

// after reads what follows a value: closing brackets, then a comma (and a key) or the end. *more says whether a value follows.
static bool after(struct reader *r, struct levels *l, bool *more) {
	*more = false;
	for (; l->depth > 0; l->depth--, r->at++) {
		bool object = in_object(l);
		uint8_t c = skip_blanks(r);
		if (c == ',') {
			r->at++;
			*more = true;
			return !object || key(r);
		}
		if (c != (object ? '}' : ']'))
			return fail(r, object ? "a comma or } expected" : "a comma or ] expected");
	}
	skip_blanks(r);
	return r->at == r->n || fail(r, "something after the value");
}

static bool document(struct reader *r) {
	static struct levels l;
	for (bool more = true; more;) {
		uint8_t c = skip_blanks(r);
		if (c == '{' || c == '[') {
			if (!enter(r, &l, c == '{'))
				return false;
			if (skip_blanks(r) != c + 2) { // in ASCII } is { + 2 and ] is [ + 2
				if (c == '{' && !key(r))
					return false;
				continue;
			}
		} else if (!scalar(r)) {
			return false;
		}
		if (!after(r, &l, &more))
			return false;
	}
	return true;
}

bool json_check(const uint8_t *text, size_t n, size_t *at, const char **why) {
	struct reader r = {.text = text, .n = n};
	bool valid = document(&r);
	*at = r.at;
	*why = r.why;
	return valid;
}

static void new_line(size_t depth, unsigned indent) {
	out_char('\n');
	for (size_t i = 0; i < depth * indent; i++)
		out_char(' ');
}

static size_t print_string(const uint8_t *text, size_t at) {
	size_t from = at++;
	for (; text[at] != '"'; at++)
		at += text[at] == '\\';
	out_bytes(text + from, at + 1 - from);
	return at;
}

void json_print(const uint8_t *text, size_t n, unsigned indent) {
	size_t depth = 0;
	for (size_t at = 0; at < n; at++) {
		uint8_t c = text[at];
		if (blank(c))
			continue;
		if (c == '"') {
			at = print_string(text, at);
			continue;
		}
		if (c == '}' || c == ']')
			new_line(--depth, indent);
		out_char((char)c);
		if (c == ':')
			out_char(' ');
		if (c == ',')
			new_line(depth, indent);
		if (c == '{' || c == '[') {
			while (blank(text[at + 1]))
				at++;
			if (text[at + 1] == c + 2)
				out_char((char)text[++at]);
			else
				new_line(++depth, indent);
		}
	}
	out_char('\n');
}
