// Tries everything a program can ask of its host and prints one line for each that is granted: descriptors 0 to 64, paths that lead out
// of the directory it was given, writing, sockets, variables, arguments, clocks. What it prints is all it can reach.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <wasi/api.h>

static const struct path {
	const char *text;
	size_t length; // 0: up to the NUL
} paths[] = {
	{".", 0}, {"..", 0}, {"../", 0}, {"./..", 0}, {"../..", 0}, {"...", 0}, {"", 0}, {"./", 0}, {"token", 0}, {"token/", 0}, {"token/.", 0},
	{"token/..", 0}, {"./token", 0}, {".//token", 0}, {"/token", 0}, {"/", 0}, {"//", 0}, {"/.", 0}, {"/etc/passwd", 0}, {"etc/passwd", 0},
	{"../../../etc/passwd", 0}, {"../../../../../../../../etc/passwd", 0}, {"./../../../etc/passwd", 0}, {"//etc/passwd", 0},
	{"/proc/self/environ", 0}, {"../../../proc/self/environ", 0}, {"/proc/self/fd/0", 0}, {"/proc/self/root/etc/passwd", 0}, {"/dev/stdin", 0},
	{"/dev/tty", 0}, {"/tmp", 0}, {"/var/openfaas/secrets", 0}, {"/var/openfaas/secrets/token", 0}, {"/var/openfaas/secrets/../secrets/token", 0},
	{"/var/openfaas/secrets/../../../etc/passwd", 0}, {"/var/openfaas/secretsx/token", 0}, {"/var/openfaas/", 0}, {"secrets/token", 0},
	{"token\0/../../etc/passwd", 23}, {"\0", 1}, {"token\0", 6}, {"TOKEN", 0}, {"token ", 0}, {"..\\..\\etc\\passwd", 0}, {"%2e%2e/etc/passwd", 0},
	{"\xff\xfe", 0}, {"..\xc0\xaf..", 0}, {"other", 0}, {"openfaas-fn/token", 0}, {"~/token", 0}, {"C:\\", 0},
};

static char line[8192], longest[6000];

// granted prints one line straight to the descriptor: stdio would keep it from a program that traps.
static void granted(const char *format, ...) {
	va_list arguments;
	va_start(arguments, format);
	int n = vsnprintf(line, sizeof line - 1, format, arguments);
	va_end(arguments);
	line[n] = '\n';
	__wasi_ciovec_t out = {(const uint8_t *)line, (size_t)n + 1};
	__wasi_size_t written;
	(void)!__wasi_fd_write(1, &out, 1, &written);
}

static __wasi_errno_t open_at(__wasi_fd_t dir, const char *path, size_t length, __wasi_lookupflags_t look, __wasi_oflags_t how, __wasi_rights_t rights, __wasi_fd_t *fd) {
	// The libc's wrapper takes a string; the call itself takes a length.
	extern int32_t raw(int32_t, int32_t, int32_t, int32_t, int32_t, int64_t, int64_t, int32_t, int32_t) __attribute__((
		__import_module__("wasi_snapshot_preview1"), __import_name__("path_open")));
	return raw(dir, look, (int32_t)path, length, how, rights, rights, 0, (int32_t)fd);
}

static void try_path(__wasi_fd_t dir, const char *path, size_t length) {
	const __wasi_rights_t read = __WASI_RIGHTS_FD_READ, write = __WASI_RIGHTS_FD_WRITE, all = ~(__wasi_rights_t)0;
	char name[64];
	snprintf(name, sizeof name, "%u %.48s%s", dir, length < sizeof longest - 1 ? path : "longest", length == strlen(path) ? "" : "+NUL");
	__wasi_fd_t fd;
	for (int follow = 0; follow <= 1; follow++)
		if (open_at(dir, path, length, follow, 0, read, &fd) == 0) {
			uint8_t text[64];
			__wasi_iovec_t in = {text, sizeof text};
			__wasi_size_t n = 0;
			if (__wasi_fd_read(fd, &in, 1, &n) == 0 && !follow)
				granted("read %s: %.*s", name, (int)n, text);
			else if (!follow)
				granted("open %s", name);
			in.buf_len = sizeof text;
			if (__wasi_fd_pread(fd, &in, 1, (__wasi_filesize_t)-1, &n) == 0 && n > 0)
				granted("read before the start of %s", name);
			__wasi_ciovec_t out = {text, sizeof text};
			if (__wasi_fd_write(fd, &out, 1, &n) == 0 || __wasi_fd_pwrite(fd, &out, 1, 0, &n) == 0 || __wasi_fd_filestat_set_size(fd, 0) == 0 ||
				__wasi_fd_allocate(fd, 0, 1 << 20) == 0 || __wasi_fd_filestat_set_times(fd, 0, 0, __WASI_FSTFLAGS_ATIM_NOW) == 0)
				granted("write %s", name);
			(void)!__wasi_fd_close(fd);
		}
	static const __wasi_oflags_t ways[] = {__WASI_OFLAGS_CREAT, __WASI_OFLAGS_CREAT | __WASI_OFLAGS_EXCL, __WASI_OFLAGS_TRUNC, 0};
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		if (open_at(dir, path, length, 1, ways[i], write, &fd) == 0 || (ways[i] > __WASI_OFLAGS_CREAT && open_at(dir, path, length, 1, ways[i], all, &fd) == 0))
			granted("write with flags %u %s", ways[i], name);
	if (length != strlen(path))
		return; // the calls below take strings
	__wasi_filestat_t stat;
	uint8_t link[64];
	__wasi_size_t n;
	if (__wasi_path_readlink(dir, path, link, sizeof link, &n) == 0)
		granted("link %s", name);
	if (__wasi_path_filestat_get(dir, 0, path, &stat) == 0 && stat.filetype != __WASI_FILETYPE_DIRECTORY)
		granted("stat %s: %llu bytes", name, (unsigned long long)stat.size);
	if (__wasi_path_create_directory(dir, path) == 0 || __wasi_path_filestat_set_times(dir, 0, path, 0, 0, __WASI_FSTFLAGS_MTIM_NOW) == 0 ||
		__wasi_path_link(dir, 0, path, dir, "made") == 0 || __wasi_path_link(dir, 0, "token", dir, path) == 0 || __wasi_path_symlink("/etc/passwd", dir, path) == 0 ||
		__wasi_path_rename(dir, path, dir, "made") == 0 || __wasi_path_rename(dir, "token", dir, path) == 0 || __wasi_path_unlink_file(dir, path) == 0 ||
		__wasi_path_remove_directory(dir, path) == 0)
		granted("change %s", name);
}

static void try_descriptors(void) {
	for (__wasi_fd_t fd = 0; fd <= 64; fd++) {
		__wasi_fdstat_t stat;
		if (__wasi_fd_fdstat_get(fd, &stat) == 0)
			granted("descriptor %u of type %u", fd, stat.fs_filetype);
		__wasi_prestat_t pre;
		uint8_t name[256];
		if (__wasi_fd_prestat_get(fd, &pre) == 0 && __wasi_fd_prestat_dir_name(fd, name, pre.u.dir.pr_name_len) == 0)
			granted("directory %u: %.*s", fd, (int)pre.u.dir.pr_name_len, name);
		uint8_t text[16];
		__wasi_ciovec_t out = {text, 0};
		__wasi_iovec_t in = {text, sizeof text};
		__wasi_size_t n;
		__wasi_roflags_t flags;
		__wasi_filesize_t at;
		if (fd != 1 && fd != 2 && __wasi_fd_write(fd, &out, 1, &n) == 0)
			granted("writing to %u", fd);
		if (fd != 0 && __wasi_fd_read(fd, &in, 1, &n) == 0)
			granted("reading from %u", fd);
		if (__wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &at) == 0)
			granted("seeking in %u", fd);
		__wasi_fd_t connection;
		(void)connection;
		if (__wasi_sock_recv(fd, &in, 1, 0, &n, &flags) == 0 || __wasi_sock_send(fd, &out, 1, 0, &n) == 0 || __wasi_sock_shutdown(fd, 3) == 0)
			granted("a socket at %u", fd);
	}
}

// try_strings prints all of the arguments or of the variables.
static void try_strings(const char *what, __wasi_errno_t (*sizes)(__wasi_size_t *, __wasi_size_t *), __wasi_errno_t (*get)(uint8_t **, uint8_t *)) {
	static uint8_t *at[256], text[16384];
	__wasi_size_t count, size;
	if (sizes(&count, &size) != 0 || count > 256 || size > sizeof text || get(at, text) != 0)
		return;
	for (__wasi_size_t i = 0; i < count; i++)
		granted("%s %s", what, at[i]);
}

int main(void) {
	try_descriptors();
	for (__wasi_fd_t dir = 0; dir < 6; dir++)
		for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
			try_path(dir, paths[i].text, paths[i].length ? paths[i].length : strlen(paths[i].text));
	memset(longest, 'a', sizeof longest - 1);
	try_path(3, longest, sizeof longest - 1);

	// A descriptor moved over another grants nothing that it did not.
	if (__wasi_fd_renumber(3, 0) == 0) {
		try_path(0, "../../../etc/passwd", 19);
		try_path(0, "/etc/passwd", 11);
	}
	static uint8_t entries[4096];
	__wasi_size_t used = 0;
	if (__wasi_fd_readdir(0, entries, sizeof entries, 0, &used) == 0)
		for (size_t at = 0; at + sizeof(__wasi_dirent_t) <= used;) {
			__wasi_dirent_t entry;
			memcpy(&entry, entries + at, sizeof entry);
			granted("entry %.*s", (int)entry.d_namlen, entries + at + sizeof entry);
			at += sizeof entry + entry.d_namlen;
		}
	try_strings("argument", __wasi_args_sizes_get, __wasi_args_get);
	try_strings("variable", __wasi_environ_sizes_get, __wasi_environ_get);
	for (uint32_t clock = 0; clock < 8; clock++) {
		__wasi_timestamp_t now = 0;
		if (__wasi_clock_time_get(clock, 1, &now) == 0)
			granted("clock %u", clock);
	}
	uint8_t random[16] = {0};
	if (__wasi_random_get(random, sizeof random) == 0)
		granted("random %02x%02x%02x%02x%02x%02x%02x%02x", random[0], random[1], random[2], random[3], random[4], random[5], random[6], random[7]);
	return 0;
}
