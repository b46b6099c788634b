// box is many small Unix programs in one module: the base name of the first argument chooses one, so that the process "cat" or
// "/bin/sha512sum" does what it does on Linux. "box NAME ARGUMENT..." works as well.
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name;
	applet *run;
} applets[] = {
	{"base64", base64_main}, {"cat", cat_main},       {"echo", echo_main},           {"env", env_main},
	{"false", false_main},   {"head", head_main},     {"printenv", printenv_main},   {"sha256sum", sha256sum_main},
	{"sha512sum", sha512sum_main}, {"sleep", sleep_main}, {"tail", tail_main},       {"true", true_main},
	{"wc", wc_main},
};

int open_input(const char *path) {
	int fd = equal(path, "-") ? 0 : open(path, O_RDONLY);
	if (fd < 0)
		input_failed(path);
	return fd;
}

void close_input(int fd) {
	if (fd > 0)
		close(fd);
}

int input_failed(const char *path) {
	const char *why = ": cannot be read";
	if (errno == ENOENT || errno == ENOTDIR || errno == ENOTCAPABLE || errno == EPERM) // the last two: outside the sandbox
		why = ": no such file";
	if (errno == EISDIR)
		why = ": is a directory";
	complain(path, why, NULL);
	return 1;
}

int bad_option(const char *option, const char *usage) {
	complain(option, ": not understood; usage: ", usage);
	return 2;
}

int true_main(int argc, char **args) { return 0; }
int false_main(int argc, char **args) { return 1; }

static const char *base(const char *path) {
	const char *slash = strrchr(path, '/');
	return slash == NULL ? path : slash + 1;
}

static int list(void) {
	out_text("box: the programs in it are");
	for (size_t i = 0; i < sizeof applets / sizeof *applets; i++) {
		out_char(' ');
		out_text(applets[i].name);
	}
	out_char('\n');
	return 0;
}

static int run(int argc, char **args) {
	const char *name = base(args[0]);
	for (size_t i = 0; i < sizeof applets / sizeof *applets; i++)
		if (equal(name, applets[i].name)) {
			guest_name = name;
			return applets[i].run(argc, args);
		}
	complain(name, ": no such program; \"box\" lists them", NULL);
	return 127;
}

int main(int argc, char **args) {
	guest_name = "box";
	bool self = argc == 0 || equal(base(args[0]), "box") || equal(base(args[0]), "busybox");
	int status = argc <= self ? list() : run(argc - self, args + self);
	finish(status);
}
