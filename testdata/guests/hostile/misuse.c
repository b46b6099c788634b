// Calls every function of the host, thousands of times, with descriptors, addresses, lengths and counts that are out of range, overflow
// or overlap. Which ones is up to the seed on standard input. It prints nothing that matters: the host must survive.
#include <stdint.h>
#include <unistd.h>

#define HOST(name, ...) \
	extern int32_t host_##name(__VA_ARGS__) __attribute__((__import_module__("wasi_snapshot_preview1"), __import_name__(#name)));
typedef int32_t i;
typedef int64_t l;
HOST(args_get, i, i) HOST(args_sizes_get, i, i) HOST(environ_get, i, i) HOST(environ_sizes_get, i, i) HOST(clock_res_get, i, i)
HOST(clock_time_get, i, l, i) HOST(random_get, i, i) HOST(sched_yield) HOST(poll_oneoff, i, i, i, i) HOST(proc_raise, i)
HOST(fd_advise, i, l, l, i) HOST(fd_allocate, i, l, l) HOST(fd_close, i) HOST(fd_datasync, i) HOST(fd_fdstat_get, i, i)
HOST(fd_fdstat_set_flags, i, i) HOST(fd_fdstat_set_rights, i, l, l) HOST(fd_filestat_get, i, i) HOST(fd_filestat_set_size, i, l)
HOST(fd_filestat_set_times, i, l, l, i) HOST(fd_pread, i, i, i, l, i) HOST(fd_prestat_dir_name, i, i, i) HOST(fd_prestat_get, i, i)
HOST(fd_pwrite, i, i, i, l, i) HOST(fd_read, i, i, i, i) HOST(fd_readdir, i, i, i, l, i) HOST(fd_renumber, i, i) HOST(fd_seek, i, l, i, i)
HOST(fd_sync, i) HOST(fd_tell, i, i) HOST(fd_write, i, i, i, i) HOST(path_create_directory, i, i, i) HOST(path_filestat_get, i, i, i, i, i)
HOST(path_filestat_set_times, i, i, i, i, l, l, i) HOST(path_link, i, i, i, i, i, i, i) HOST(path_open, i, i, i, i, i, l, l, i, i)
HOST(path_readlink, i, i, i, i, i, i) HOST(path_remove_directory, i, i, i) HOST(path_rename, i, i, i, i, i, i) HOST(path_symlink, i, i, i, i, i)
HOST(path_unlink_file, i, i, i) HOST(sock_accept, i, i, i) HOST(sock_recv, i, i, i, i, i, i) HOST(sock_send, i, i, i, i, i) HOST(sock_shutdown, i, i)

// The host writes where the addresses say, and so over anything: the state of the generator is kept out of memory, in registers.
static uint64_t next(uint64_t *state) {
	uint64_t z = *state += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static unsigned char scratch[4096];

// number is a value for any parameter: small, at or over an edge, or an address in the scratch area or at the end of the memory.
static int64_t number(uint64_t *state) {
	uint64_t r = next(state);
	int64_t end = (int64_t)__builtin_wasm_memory_size(0) * 65536, off = (int64_t)(r >> 40) % 65;
	switch (r % 12) {
	case 0: return off;
	case 1: return -off;
	case 2: return end - off;
	case 3: return end + off;
	case 4: return INT32_MAX - off;
	case 5: return (int64_t)INT32_MIN + off;
	case 6: return INT64_MAX - off;
	case 7: return INT64_MIN + off;
	case 8: return (int64_t)1 << (r >> 58);
	case 9: return (int64_t)r;
	case 10: return (int64_t)(r >> 32 & 7);
	default: return (int64_t)(uintptr_t)scratch + (int64_t)(r >> 32) % (int64_t)(sizeof scratch - 64);
	}
}

#define N ((i)number(&state))
#define L number(&state)

int main(void) {
	uint64_t state = 0;
	(void)!read(0, &state, sizeof state);
	for (int round = 0; round < 2000; round++) {
		for (unsigned at = 0; at < sizeof scratch; at += 4) // iovecs, subscriptions, paths: whatever lies there
			*(uint32_t *)(scratch + at) = at % 64 == 0 ? (uint32_t)number(&state) : (uint32_t)(uintptr_t)scratch + at;
		for (int calls = 0; calls < 16; calls++)
			switch (next(&state) % 45) {
			case 0: host_args_get(N, N); break;
			case 1: host_args_sizes_get(N, N); break;
			case 2: host_environ_get(N, N); break;
			case 3: host_environ_sizes_get(N, N); break;
			case 4: host_clock_res_get(N, N); break;
			case 5: host_clock_time_get(N, L, N); break;
			case 6: host_random_get(N, N); break;
			case 7: host_sched_yield(); break;
			case 8: if (next(&state) % 64 == 0) host_poll_oneoff(N, N, N, N); break; // it may sleep
			case 9: if (next(&state) % 64 == 0) host_proc_raise(N); break;
			case 10: host_fd_advise(N, L, L, N); break;
			case 11: host_fd_allocate(N, L, L); break;
			case 12: host_fd_close(N); break;
			case 13: host_fd_datasync(N); break;
			case 14: host_fd_fdstat_get(N, N); break;
			case 15: host_fd_fdstat_set_flags(N, N); break;
			case 16: host_fd_fdstat_set_rights(N, L, L); break;
			case 17: host_fd_filestat_get(N, N); break;
			case 18: host_fd_filestat_set_size(N, L); break;
			case 19: host_fd_filestat_set_times(N, L, L, N); break;
			case 20: host_fd_pread(N, N, N, L, N); break;
			case 21: host_fd_prestat_dir_name(N, N, N); break;
			case 22: host_fd_prestat_get(N, N); break;
			case 23: host_fd_pwrite(N, N, N, L, N); break;
			case 24: host_fd_read(N, N, N, N); break;
			case 25: host_fd_readdir(N, N, N, L, N); break;
			case 26: host_fd_renumber(N, N); break;
			case 27: host_fd_seek(N, L, N, N); break;
			case 28: host_fd_sync(N); break;
			case 29: host_fd_tell(N, N); break;
			case 30: host_fd_write(N, N, N, N); break;
			case 31: host_path_create_directory(N, N, N); break;
			case 32: host_path_filestat_get(N, N, N, N, N); break;
			case 33: host_path_filestat_set_times(N, N, N, N, L, L, N); break;
			case 34: host_path_link(N, N, N, N, N, N, N); break;
			case 35: host_path_open(N, N, N, N, N, L, L, N, N); break;
			case 36: host_path_readlink(N, N, N, N, N, N); break;
			case 37: host_path_remove_directory(N, N, N); break;
			case 38: host_path_rename(N, N, N, N, N, N); break;
			case 39: host_path_symlink(N, N, N, N, N); break;
			case 40: host_path_unlink_file(N, N, N); break;
			case 41: host_sock_accept(N, N, N); break;
			case 42: host_sock_recv(N, N, N, N, N, N); break;
			case 43: host_sock_send(N, N, N, N, N); break;
			case 44: host_sock_shutdown(N, N); break;
			}
	}
	return 0;
}
