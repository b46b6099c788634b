// figlet answers with the body, or with its arguments, in large letters. -w N sets the line width in columns, 80 by default.
#include <string.h>

#include "../lib/guest.h"
#include "font.h"

#define WIDEST 1000

// line holds the characters of the output line that is being filled; columns is its width with a gap after each glyph.
static struct {
	unsigned char text[WIDEST];
	size_t n, columns;
} line;
static size_t width = 80;

static const char *glyph(unsigned char c) { return font[c - ' ']; }

static size_t glyph_columns(unsigned char c) { return strcspn(glyph(c), "|") + 1; }

static void print_row(size_t characters, size_t row) {
	size_t blanks = 0;
	for (size_t i = 0; i < characters; i++) {
		size_t n = glyph_columns(line.text[i]) - 1;
		const char *from = glyph(line.text[i]) + row * (n + 1);
		for (size_t column = 0; column <= n; column++) { // the column after the last is the gap
			if (column == n || from[column] == ' ') {
				blanks++;
				continue;
			}
			for (; blanks > 0; blanks--)
				out_char(' ');
			out_char(from[column]);
		}
	}
	out_char('\n');
}

// print_line prints the first characters of the line and keeps what follows them, less skip characters.
static void print_line(size_t characters, size_t skip) {
	for (size_t row = 0; row < FONT_ROWS && characters > 0; row++)
		print_row(characters, row);
	size_t rest = characters + skip;
	memmove(line.text, line.text + rest, line.n - rest);
	line.n -= rest;
	line.columns = 0;
	for (size_t i = 0; i < line.n; i++)
		line.columns += glyph_columns(line.text[i]);
}

// make_room breaks a full line after its last word, or inside a word that has a line for itself.
static void make_room(size_t columns) {
	while (line.n > 0 && line.columns + columns - 1 > width) {
		size_t space = line.n;
		while (space > 0 && line.text[space - 1] != ' ')
			space--;
		if (space > 1)
			print_line(space - 1, 1);
		else
			print_line(line.n, 0);
	}
}

static void put(unsigned char c) {
	if (c == '\n') {
		if (line.n == 0)
			out_char('\n');
		print_line(line.n, 0);
		return;
	}
	if (c == '\t')
		c = ' ';
	if (c < ' ' || c == 0x7f || (c >= 0x80 && c < 0xc0)) // control characters and the later bytes of a UTF-8 sequence
		return;
	if (c >= 0x80)
		c = '?';
	make_room(glyph_columns(c));
	if (c == ' ' && line.n == 0)
		return;
	line.text[line.n++] = c;
	line.columns += glyph_columns(c);
}

static _Noreturn void usage(const char *what, const char *why) {
	complain(what, why, "; usage: figlet [-w COLUMNS] [WORD...]");
	finish(2);
}

static int options(int argc, char **argv) {
	int at = 1;
	for (; at < argc && argv[at][0] == '-' && argv[at][1] != '\0'; at++) {
		uint64_t columns;
		if (!equal(argv[at], "-w"))
			usage(argv[at], ": no such option");
		if (++at == argc || !parse_uint(argv[at], WIDEST, &columns) || columns < 10)
			usage("-w", ": not a width from 10 to 1000");
		width = (size_t)columns;
	}
	return at;
}

int main(int argc, char **argv) {
	guest_name = "figlet";
	int at = options(argc, argv);
	if (at < argc) {
		for (; at < argc; at++) {
			for (const char *c = argv[at]; *c != '\0'; c++)
				put((unsigned char)*c);
			put(at + 1 < argc ? ' ' : '\n');
		}
		finish(0);
	}
	static unsigned char buffer[16 << 10];
	for (size_t n; (n = in_some(0, buffer, sizeof buffer)) > 0;)
		for (size_t i = 0; i < n; i++)
			put(buffer[i]);
	print_line(line.n, 0);
	finish(0);
}
