#include <string.h>

#include "box.h"

extern char **environ;

int echo_main(int argc, char **args) {
	bool newline = argc < 2 || !equal(args[1], "-n");
	int first = newline ? 1 : 2;
	for (int i = first; i < argc; i++) {
		if (i > first)
			out_char(' ');
		out_text(args[i]);
	}
	if (newline)
		out_char('\n');
	return 0;
}

int env_main(int argc, char **args) {
	variable("PATH"); // the first look-up is what fills environ
	for (int i = 1; i < argc; i++)
		if (strchr(args[i], '=') == NULL)
			return bad_option(args[i], "env [NAME=VALUE...]; a function cannot start a program");
	for (char **entry = environ; *entry != NULL; entry++) {
		size_t name = strcspn(*entry, "=") + 1;
		bool replaced = false;
		for (int i = 1; i < argc; i++)
			replaced |= strncmp(*entry, args[i], name) == 0;
		if (!replaced) {
			out_text(*entry);
			out_char('\n');
		}
	}
	for (int i = 1; i < argc; i++) {
		out_text(args[i]);
		out_char('\n');
	}
	return 0;
}

int printenv_main(int argc, char **args) {
	int status = 0;
	if (argc == 1)
		return env_main(argc, args);
	variable("PATH");
	for (int i = 1; i < argc; i++) {
		size_t n = strlen(args[i]);
		bool found = false;
		for (char **entry = environ; *entry != NULL && !found; entry++)
			if (strncmp(*entry, args[i], n) == 0 && (*entry)[n] == '=') {
				out_text(*entry + n + 1);
				out_char('\n');
				found = true;
			}
		if (!found)
			status = 1;
	}
	return status;
}

int sleep_main(int argc, char **args) {
	uint64_t sum = 0, wait;
	if (argc < 2)
		return bad_option("nothing", "sleep DURATION...");
	for (int i = 1; i < argc; i++) {
		if (!parse_duration(args[i], &wait))
			return bad_option(args[i], "sleep DURATION..., such as 2, 0.5 or 250ms");
		sum += wait;
	}
	if (sleep_for(sum))
		return 0;
	complain("the host refused to wait", NULL, NULL);
	return 1;
}
