package runtime

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"

	"hearth/backends"
)

// wasiRig calls host functions as a guest would, over the memory of a real instance: one page.
type wasiRig struct {
	t    *testing.T
	call *call
	mem  api.Memory
	out  bytes.Buffer
	logs []string
}

func (r *wasiRig) SetStatus(int)               {}
func (r *wasiRig) SetHeader(_, _ []byte)       {}
func (r *wasiRig) AddHeader(_, _ []byte)       {}
func (r *wasiRig) Write(p []byte) (int, error) { return r.out.Write(p) }

func newWASIRig(t *testing.T, body string) *wasiRig {
	t.Helper()
	e, err := New(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	wasm, err := os.ReadFile("../testdata/guests/hostile/loop.wasm")
	if err != nil {
		t.Fatal(err)
	}
	r := &wasiRig{t: t}
	m, err := e.Load(t.Context(), wasm, Spec{Key: backends.Key{Namespace: "fn", Name: "rig"}, Args: []string{"prog", "arg"}, Env: map[string]string{"k": "v"},
		Secrets: map[string][]byte{"one": []byte("first secret"), "two": nil}, Log: func(l []byte) { r.logs = append(r.logs, string(l)) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	w := &worker{}
	w.call.begin(ctx, m, &backends.Request{Body: []byte(body), Method: []byte("GET")}, r)
	w.call.slot = e.slots.try(&m.lane)
	if err := w.instantiate(m); err != nil {
		t.Fatal(err)
	}
	r.call, r.mem = &w.call, w.mod.Memory()
	t.Cleanup(func() {
		w.call.leave()
		w.close(context.Background())
		cancel()
	})
	return r
}

// do calls a host function; unwound is what it unwound the guest with.
func (r *wasiRig) do(name string, args ...uint64) (e errno, unwound any) {
	r.t.Helper()
	for _, h := range hostFunctions() {
		if h.name == name {
			if len(args) != len(h.params) {
				r.t.Fatalf("%s takes %d parameters, got %d", name, len(h.params), len(args))
			}
			defer func() { unwound = recover() }()
			return h.call(r.call, r.mem, append(args, 0)), nil
		}
	}
	r.t.Fatalf("no host function %s", name)
	return 0, nil
}

// want calls a host function that has to return e.
func (r *wasiRig) want(e errno, name string, args ...uint64) {
	r.t.Helper()
	if got, unwound := r.do(name, args...); got != e || unwound != nil {
		r.t.Errorf("%s%v = %d (unwound %v), want %d", name, args, got, unwound, e)
	}
}

// text puts a string into the guest's memory.
func (r *wasiRig) text(at uint32, s string) (uint64, uint64) {
	if !r.mem.WriteString(at, s) {
		r.t.Fatalf("no room for %q", s)
	}
	return uint64(at), uint64(len(s))
}

func (r *wasiRig) u32(at uint32) uint32 {
	v, _ := r.mem.ReadUint32Le(at)
	return v
}

func (r *wasiRig) u64(at uint32) uint64 {
	v, _ := r.mem.ReadUint64Le(at)
	return v
}

func (r *wasiRig) bytes(at, n uint32) []byte {
	b, _ := r.mem.Read(at, n)
	return b
}

// vec puts one (address, length) pair at 512.
func (r *wasiRig) vec(at, n uint32) uint64 {
	r.mem.WriteUint32Le(512, at)
	r.mem.WriteUint32Le(516, n)
	return 512
}

func (r *wasiRig) open(name string) uint64 {
	r.t.Helper()
	at, n := r.text(256, name)
	r.want(errnoSuccess, "path_open", 3, 0, at, n, 0, rightRead, 0, 0, 1024)
	return uint64(r.u32(1024))
}

func TestArgumentsAndEnvironmentAreWrittenWithTheirSizes(t *testing.T) {
	r := newWASIRig(t, "body")
	r.want(errnoSuccess, "args_sizes_get", 0, 4)
	if n, size := r.u32(0), r.u32(4); n != 2 || size != 9 {
		t.Errorf("%d arguments in %d bytes, want 2 in 9", n, size)
	}
	r.want(errnoSuccess, "args_get", 0, 100)
	if got := r.bytes(100, 9); string(got) != "prog\x00arg\x00" || r.u32(0) != 100 || r.u32(4) != 105 {
		t.Errorf("arguments %q at %d and %d", got, r.u32(0), r.u32(4))
	}
	r.want(errnoSuccess, "environ_sizes_get", 0, 4)
	n, size := r.u32(0), r.u32(4)
	r.want(errnoSuccess, "environ_get", 2048, 4096)
	text := string(r.bytes(4096, size))
	if strings.Count(text, "\x00") != int(n) || !strings.HasSuffix(text, "\x00k=v\x00") || !strings.HasPrefix(text, "Http_Method=GET\x00") {
		t.Errorf("environment %q of %d variables", text, n)
	}
	if last := r.u32(2048 + 4*(n-1)); string(r.bytes(last, 4)) != "k=v\x00" {
		t.Errorf("the last variable's address is %d", last)
	}
}

func TestClocksAreRealAndUnknownOnesRefused(t *testing.T) {
	r := newWASIRig(t, "")
	before := time.Now().UnixNano()
	r.want(errnoSuccess, "clock_time_get", clockRealtime, 0, 0)
	if got := int64(r.u64(0)); got < before || got > time.Now().UnixNano() {
		t.Errorf("wall clock %d, want between %d and now", got, before)
	}
	r.want(errnoSuccess, "clock_time_get", clockMonotonic, 0, 0)
	r.want(errnoSuccess, "clock_time_get", clockMonotonic, 0, 8)
	if r.u64(8) < r.u64(0) {
		t.Errorf("monotonic clock went from %d back to %d", r.u64(0), r.u64(8))
	}
	r.want(errnoSuccess, "clock_res_get", clockMonotonic, 0)
	if r.u64(0) != 1 {
		t.Errorf("resolution %d, want 1 ns", r.u64(0))
	}
	r.want(errnoNotsup, "clock_time_get", clockProcess, 0, 0)
	r.want(errnoInval, "clock_time_get", 100, 0, 0)
	r.want(errnoInval, "clock_res_get", 100, 0)
}

func TestRandomNumbersFillTheBufferAndDiffer(t *testing.T) {
	r := newWASIRig(t, "")
	r.want(errnoSuccess, "random_get", 0, 64)
	r.want(errnoSuccess, "random_get", 64, 64)
	a, b := r.bytes(0, 64), r.bytes(64, 64)
	if bytes.Equal(a, b) || bytes.Equal(a, make([]byte, 64)) {
		t.Errorf("random bytes %x and %x", a, b)
	}
	if got := r.bytes(128, 8); !bytes.Equal(got, make([]byte, 8)) {
		t.Errorf("wrote beyond the buffer: %x", got)
	}
}

func TestStandardStreamsAreTheRequestTheAnswerAndTheLog(t *testing.T) {
	r := newWASIRig(t, "the body")
	r.want(errnoSuccess, "fd_read", 0, r.vec(100, 5), 1, 8)
	r.want(errnoSuccess, "fd_write", 1, r.vec(100, r.u32(8)), 1, 8)
	r.want(errnoSuccess, "fd_read", 0, r.vec(100, 50), 1, 8)
	r.want(errnoSuccess, "fd_write", 1, r.vec(100, r.u32(8)), 1, 8)
	if r.out.String() != "the body" {
		t.Errorf("answer %q", r.out.String())
	}
	r.want(errnoSuccess, "fd_read", 0, r.vec(100, 50), 1, 8)
	if r.u32(8) != 0 {
		t.Errorf("%d bytes at the end of the body", r.u32(8))
	}
	at, n := r.text(200, "one\r\ntwo\nthr")
	r.want(errnoSuccess, "fd_write", 2, r.vec(uint32(at), uint32(n)), 1, 8)
	at, n = r.text(200, "ee")
	r.want(errnoSuccess, "fd_write", 2, r.vec(uint32(at), uint32(n)), 1, 8)
	r.call.log.finish()
	if got := strings.Join(r.logs, "|"); got != "one|two|three" {
		t.Errorf("log %q", got)
	}
	r.want(errnoBadf, "fd_write", 0, r.vec(0, 1), 1, 8)
	r.want(errnoBadf, "fd_read", 1, r.vec(0, 1), 1, 8)
	r.want(errnoInval, "fd_read", 0, 512, maxVectors+1, 8)
	for fd := range uint64(3) {
		r.want(errnoSpipe, "fd_seek", fd, 0, 0, 0)
		r.want(errnoSpipe, "fd_tell", fd, 0)
		r.want(errnoSpipe, "fd_pread", fd, r.vec(0, 1), 1, 0, 8)
	}
}

func TestSecretsAreReadOnlyFilesOfOneDirectory(t *testing.T) {
	r := newWASIRig(t, "")
	r.want(errnoSuccess, "fd_prestat_get", 3, 0)
	if n := r.u32(4); n != uint32(len(defaultSecretPath)) {
		t.Errorf("the directory's name has %d bytes", n)
	}
	r.want(errnoNametoolong, "fd_prestat_dir_name", 3, 0, 5)
	r.want(errnoSuccess, "fd_prestat_dir_name", 3, 0, uint64(len(defaultSecretPath)))
	if got := string(r.bytes(0, uint32(len(defaultSecretPath)))); got != defaultSecretPath {
		t.Errorf("the directory is %q", got)
	}
	fd := r.open("one")
	r.want(errnoSuccess, "fd_read", fd, r.vec(100, 5), 1, 8)
	r.want(errnoSuccess, "fd_tell", fd, 16)
	if string(r.bytes(100, 5)) != "first" || r.u64(16) != 5 {
		t.Errorf("read %q, now at %d", r.bytes(100, 5), r.u64(16))
	}
	back := int64(-6)
	r.want(errnoSuccess, "fd_seek", fd, uint64(back), io.SeekEnd, 16)
	r.want(errnoSuccess, "fd_read", fd, r.vec(100, 50), 1, 8)
	if n := r.u32(8); string(r.bytes(100, n)) != "secret" {
		t.Errorf("read %q after a seek", r.bytes(100, n))
	}
	r.want(errnoSuccess, "fd_pread", fd, r.vec(100, 5), 1, 6, 8)
	if string(r.bytes(100, 5)) != "secre" {
		t.Errorf("pread %q", r.bytes(100, 5))
	}
	for _, seek := range [][2]uint64{{uint64(back) - 100, io.SeekEnd}, {uint64(back), io.SeekStart}, {1 << 63, io.SeekCurrent}, {0, 3}} {
		r.want(errnoInval, "fd_seek", fd, seek[0], seek[1], 16)
	}
	r.want(errnoSuccess, "fd_seek", fd, 1<<62, io.SeekStart, 16)
	r.want(errnoSuccess, "fd_read", fd, r.vec(100, 50), 1, 8)
	if r.u32(8) != 0 {
		t.Errorf("%d bytes read beyond the end", r.u32(8))
	}
	r.want(errnoSuccess, "fd_filestat_get", fd, 100)
	if r.mem.Size() == 0 || r.bytes(116, 1)[0] != typeRegular || r.u64(132) != 12 {
		t.Errorf("file type %d, size %d", r.bytes(116, 1)[0], r.u64(132))
	}
	r.want(errnoRofs, "fd_write", fd, r.vec(0, 1), 1, 8)
	r.want(errnoRofs, "fd_pwrite", fd, r.vec(0, 1), 1, 0, 8)
	r.want(errnoRofs, "fd_filestat_set_size", fd, 0)
	r.want(errnoRofs, "fd_allocate", fd, 0, 10)
	r.want(errnoSuccess, "fd_close", fd)
	r.want(errnoBadf, "fd_close", fd)
}

func TestNoPathLeavesTheSecretDirectory(t *testing.T) {
	for name, want := range map[string]errno{
		"one": errnoSuccess, "./one": errnoSuccess, ".//./one": errnoSuccess, ".": errnoSuccess, "./": errnoSuccess,
		"": errnoNoent, "three": errnoNoent, "...": errnoNoent, "one ": errnoNoent, "ONE": errnoNoent,
		"..": errnoPerm, "../one": errnoPerm, "./../secrets/one": errnoPerm, "one/..": errnoNotdir, "one/../two": errnoNotdir,
		"one/": errnoNotdir, "one/.": errnoNotdir, "/one": errnoPerm, "/etc/passwd": errnoPerm, defaultSecretPath + "/one": errnoSuccess,
		defaultSecretPath: errnoSuccess, defaultSecretPath + "one": errnoPerm, defaultSecretPath + "/../one": errnoPerm, defaultSecretPath + "/": errnoSuccess,
		"//": errnoPerm, "one\x00": errnoInval, "\x00": errnoInval, strings.Repeat("a", maxPath+1): errnoNametoolong,
		"proc/self/environ": errnoNoent,
	} {
		r := newWASIRig(t, "")
		at, n := r.text(8192, name)
		r.want(want, "path_open", 3, 1, at, n, 0, rightRead, 0, 0, 1024)
		r.want(want, "path_filestat_get", 3, 1, at, n, 1024)
		link := want
		if want == errnoSuccess {
			link = errnoInval
		}
		r.want(link, "path_readlink", 3, at, n, 0, 64, 1024)
	}
}

func TestOpeningForWritingIsRefused(t *testing.T) {
	r := newWASIRig(t, "")
	at, n := r.text(256, "one")
	newAt, newN := r.text(300, "new")
	r.want(errnoRofs, "path_open", 3, 0, at, n, 0, rightRead|rightWrite, 0, 0, 0)
	r.want(errnoRofs, "path_open", 3, 0, at, n, oflagTruncate, rightRead, 0, 0, 0)
	r.want(errnoRofs, "path_open", 3, 0, newAt, newN, oflagCreate, rightRead, 0, 0, 0)
	r.want(errnoNotdir, "path_open", 3, 0, at, n, oflagDirectory, rightRead, 0, 0, 0)
	r.want(errnoNotdir, "path_open", 1, 0, at, n, 0, rightRead, 0, 0, 0)
	r.want(errnoBadf, "path_open", 9, 0, at, n, 0, rightRead, 0, 0, 0)
	r.want(errnoRofs, "path_create_directory", 3, newAt, newN)
	r.want(errnoRofs, "path_unlink_file", 3, at, n)
	r.want(errnoRofs, "path_remove_directory", 3, at, n)
	r.want(errnoRofs, "path_rename", 3, at, n, 3, newAt, newN)
	r.want(errnoRofs, "path_link", 3, 0, at, n, 3, newAt, newN)
	r.want(errnoRofs, "path_symlink", at, n, 3, newAt, newN)
	r.want(errnoRofs, "path_filestat_set_times", 3, 0, at, n, 0, 0, 0)
	r.want(errnoBadf, "path_rename", 64, at, n, 3, newAt, newN)
}

func TestDirectoryIsListedInPieces(t *testing.T) {
	r := newWASIRig(t, "")
	var names []string
	for cookie := uint64(0); ; {
		r.want(errnoSuccess, "fd_readdir", 3, 4096, 60, cookie, 8)
		used, at := r.u32(8), uint32(0)
		for at+direntSize <= used {
			n := r.u32(4096 + at + 16)
			if at+direntSize+n > used {
				break
			}
			names = append(names, string(r.bytes(4096+at+direntSize, n)))
			cookie = r.u64(4096 + at)
			at += direntSize + n
		}
		if used < 60 {
			break
		}
	}
	if got := strings.Join(names, " "); got != ". .. one two" {
		t.Errorf("names %q", got)
	}
	r.want(errnoInval, "fd_readdir", 3, 4096, 60, 1<<40, 8)
	r.want(errnoNotdir, "fd_readdir", 0, 4096, 60, 0, 8)
}

func TestDescriptorsAreFewAndReused(t *testing.T) {
	r := newWASIRig(t, "")
	first := r.open("one")
	at, n := r.text(256, "two")
	opened := 1
	for {
		e, _ := r.do("path_open", 3, 0, at, n, 0, rightRead, 0, 0, 1024)
		if e == errnoMfile {
			break
		}
		if opened++; e != errnoSuccess || opened > maxFiles {
			t.Fatalf("open %d: errno %d", opened, e)
		}
	}
	r.want(errnoSuccess, "fd_close", first)
	if again := r.open("two"); again != first {
		t.Errorf("descriptor %d, want the free %d", again, first)
	}
	r.want(errnoSuccess, "fd_renumber", first, first+1)
	r.want(errnoBadf, "fd_tell", first, 8)
	r.want(errnoBadf, "fd_renumber", first, first+1)
	r.want(errnoBadf, "fd_renumber", first+1, 1<<20)
	r.want(errnoSuccess, "fd_close", 1)
	r.want(errnoBadf, "fd_write", 1, r.vec(0, 1), 1, 8)
	r.want(errnoSuccess, "fd_renumber", first+1, 0)
	r.want(errnoSuccess, "fd_read", 0, r.vec(100, 50), 1, 8) // standard input is the empty secret now
	if r.u32(8) != 0 {
		t.Errorf("read %d bytes of an empty file", r.u32(8))
	}
}

func TestOnlyThePreopenedDirectoryExists(t *testing.T) {
	r := newWASIRig(t, "")
	for fd := uint64(4); fd <= 64; fd++ {
		r.want(errnoBadf, "fd_prestat_get", fd, 0)
		r.want(errnoBadf, "fd_fdstat_get", fd, 0)
	}
	for _, name := range []string{"sock_accept", "sock_recv", "sock_send", "sock_shutdown"} {
		for _, h := range hostFunctions() {
			if h.name == name {
				args := make([]uint64, len(h.params))
				r.want(errnoNotsock, name, args...)
				args[0] = 9
				r.want(errnoBadf, name, args...)
			}
		}
	}
	r.want(errnoNosys, "proc_raise", 9)
}

// TestEveryPointerIsChecked gives each pointer of each function an address outside the memory, and lengths that overflow.
func TestEveryPointerIsChecked(t *testing.T) {
	const end, beyond = 65536 - 2, 1 << 31
	for _, c := range []struct {
		name     string
		args     []uint64
		pointers []int
	}{
		{"args_get", []uint64{0, 100}, []int{0, 1}}, {"args_sizes_get", []uint64{0, 4}, []int{0, 1}},
		{"environ_get", []uint64{0, 100}, []int{0, 1}}, {"environ_sizes_get", []uint64{0, 4}, []int{0, 1}},
		{"clock_res_get", []uint64{0, 8}, []int{1}}, {"clock_time_get", []uint64{0, 0, 8}, []int{2}},
		{"random_get", []uint64{0, 16}, []int{0}}, {"random_get", []uint64{1, 0xffffffff}, []int{0}},
		{"poll_oneoff", []uint64{0, 100, 1, 200}, []int{0, 1}},
		{"fd_fdstat_get", []uint64{1, 8}, []int{1}}, {"fd_filestat_get", []uint64{1, 8}, []int{1}}, {"fd_filestat_get", []uint64{3, 8}, []int{1}},
		{"fd_prestat_get", []uint64{3, 8}, []int{1}}, {"fd_prestat_dir_name", []uint64{3, 8, 64}, []int{1}},
		{"fd_read", []uint64{0, 512, 1, 8}, []int{1, 3}}, {"fd_write", []uint64{1, 512, 1, 8}, []int{1, 3}},
		{"fd_readdir", []uint64{3, 8, 100, 0, 4}, []int{1, 4}}, {"fd_readdir", []uint64{3, 8, 0xffffffff, 0, 4}, []int{1}},
		{"path_open", []uint64{3, 0, 256, 3, 0, rightRead, 0, 0, 8}, []int{2, 8}},
		{"path_filestat_get", []uint64{3, 0, 256, 3, 8}, []int{2, 4}}, {"path_readlink", []uint64{3, 256, 3, 8, 10, 4}, []int{1}},
		{"fd_seek", []uint64{4, 0, 0, 8}, []int{3}}, {"fd_tell", []uint64{4, 8}, []int{1}}, {"fd_pread", []uint64{4, 512, 1, 0, 8}, []int{1, 4}},
	} {
		for _, p := range c.pointers {
			for _, bad := range []uint64{end, beyond, 0xffffffff, 0xfffffff8} {
				r := newWASIRigAt(t)
				args := append([]uint64(nil), c.args...)
				args[p] = bad
				r.want(errnoFault, c.name, args...)
			}
		}
	}
	r := newWASIRigAt(t)
	for _, v := range [][2]uint32{{end, 3}, {0, 0xffffffff}, {0xffffffff, 1}, {0xffffffff, 0xffffffff}} {
		r.want(errnoFault, "fd_write", 1, r.vec(v[0], v[1]), 1, 8)
		r.want(errnoFault, "fd_read", 0, r.vec(v[0], v[1]), 1, 8)
	}
}

// newWASIRigAt is a rig with a body, an open file at descriptor 4, its name at 256 and a buffer's address at 512.
func newWASIRigAt(t *testing.T) *wasiRig {
	r := newWASIRig(t, "body")
	if fd := r.open("one"); fd != 4 {
		t.Fatalf("opened as %d, want 4", fd)
	}
	r.vec(1000, 4)
	return r
}

// subscribe writes a subscription at 48*i.
func (r *wasiRig) subscribe(i uint32, kind byte, id uint32, timeout uint64, flags uint16) {
	var sub [subscriptionSize]byte
	binary.LittleEndian.PutUint64(sub[0:], uint64(i)+70)
	sub[8] = kind
	binary.LittleEndian.PutUint32(sub[16:], id)
	if kind == eventClock {
		binary.LittleEndian.PutUint64(sub[24:], timeout)
		binary.LittleEndian.PutUint16(sub[40:], flags)
	}
	r.mem.Write(i*subscriptionSize, sub[:])
}

func TestPollWaitsForTheFirstEventOnly(t *testing.T) {
	r := newWASIRig(t, "body")
	r.subscribe(0, eventClock, clockMonotonic, uint64(20*time.Millisecond), 0)
	r.subscribe(1, eventClock, clockMonotonic, uint64(time.Hour), 0)
	start := time.Now()
	r.want(errnoSuccess, "poll_oneoff", 0, 1024, 2, 2048)
	if took := time.Since(start); r.u32(2048) != 1 || r.u64(1024) != 70 || took < 20*time.Millisecond {
		t.Errorf("%d events, the first of subscription %d, after %v", r.u32(2048), r.u64(1024), took)
	}
	r.subscribe(0, eventClock, clockRealtime, 1, clockAbsolute) // in 1970
	r.subscribe(1, eventFdRead, 0, 0, 0)
	r.subscribe(2, eventFdWrite, 1, 0, 0)
	r.subscribe(3, eventFdRead, 44, 0, 0)
	r.subscribe(4, eventClock, clockMonotonic, uint64(time.Hour), 0)
	r.want(errnoSuccess, "poll_oneoff", 0, 1024, 5, 2048)
	if n := r.u32(2048); n != 4 {
		t.Fatalf("%d events, want the clock in the past, both streams and the error", n)
	}
	if got := r.u64(1024 + eventSize + 16); got != 4 {
		t.Errorf("%d bytes to read, want 4", got)
	}
	if e := binary.LittleEndian.Uint16(r.bytes(1024+3*eventSize+8, 2)); errno(e) != errnoBadf {
		t.Errorf("error %d for a descriptor that is not open, want %d", e, errnoBadf)
	}
	r.want(errnoInval, "poll_oneoff", 0, 1024, 0, 2048)
	r.want(errnoInval, "poll_oneoff", 0, 1024, maxSubscriptions+1, 2048)
	r.subscribe(0, 7, 0, 0, 0)
	r.want(errnoInval, "poll_oneoff", 0, 1024, 1, 2048)
}

func TestASleepEndsWithTheCall(t *testing.T) {
	r := newWASIRig(t, "")
	r.subscribe(0, eventClock, clockMonotonic, 1<<63, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	r.call.ctx = ctx
	_, unwound := r.do("poll_oneoff", 0, 1024, 1, 2048)
	var h *halt
	if err, ok := unwound.(error); !ok || !errors.As(err, &h) || !errors.Is(h.err, backends.ErrDeadline) {
		t.Errorf("unwound with %v, want ErrDeadline", unwound)
	}
}
