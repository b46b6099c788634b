package inproc

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/backends"
)

var logKey = backends.Key{Namespace: "ns", Name: "fn"}

func openLogs(t *testing.T, dir string, fileMax, total int64) *logStore {
	t.Helper()
	s, err := openLogStore(dir, fileMax, total, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// texts collects what a query that does not follow gives.
func texts(t *testing.T, l *functionLog, q backends.LogQuery) []string {
	t.Helper()
	got := []string{}
	for line, err := range l.lines(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		if line.Key != l.key {
			t.Errorf("line of %v in the log of %v", line.Key, l.key)
		}
		got = append(got, line.Text)
	}
	return got
}

func TestLogQuerySelectsLines(t *testing.T) {
	l := openLogs(t, t.TempDir(), 1<<20, 1<<30).of(logKey)
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	for i, instance := range []string{"a", "b", "a", "b", "a"} {
		l.append(at.Add(time.Duration(i)*time.Second), instance, []byte(fmt.Sprint(i)))
	}
	tests := []struct {
		name string
		q    backends.LogQuery
		want string
	}{
		{"all of them by default", backends.LogQuery{}, "0 1 2 3 4"},
		{"the last two", backends.LogQuery{Tail: 2}, "3 4"},
		{"all when the tail is longer than the log", backends.LogQuery{Tail: 9}, "0 1 2 3 4"},
		{"all when the tail is negative", backends.LogQuery{Tail: -1}, "0 1 2 3 4"},
		{"those at a time and after it", backends.LogQuery{Since: at.Add(3 * time.Second)}, "3 4"},
		{"those of one instance", backends.LogQuery{Instance: "b"}, "1 3"},
		{"the last of one instance", backends.LogQuery{Instance: "a", Tail: 2}, "2 4"},
		{"none of an unknown instance", backends.LogQuery{Instance: "c", Tail: 2}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(texts(t, l, tt.q), " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLogSurvivesARestartAndATornLine(t *testing.T) {
	dir := t.TempDir()
	s := openLogs(t, dir, 1<<20, 1<<30)
	s.of(logKey).write("i", []byte("before"))
	s.close()
	file := filepath.Join(dir, "ns", "fn", "00000001.log")
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("2026-11-24T02:00:00.0000") // as a kill in the middle of a write leaves it
	f.Close()
	s = openLogs(t, dir, 1<<20, 1<<30)
	if got := texts(t, s.of(logKey), backends.LogQuery{}); !slices.Equal(got, []string{"before"}) {
		t.Errorf("after the restart: %q", got)
	}
	s.of(logKey).write("i", []byte("after"))
	if got := texts(t, s.of(logKey), backends.LogQuery{}); !slices.Equal(got, []string{"before", "after"}) {
		t.Errorf("with a line more: %q", got)
	}
}

func TestLogLineIsOneLineAndNotTooLong(t *testing.T) {
	l := openLogs(t, t.TempDir(), 1<<20, 1<<30).of(logKey)
	l.write("i", []byte("a\nforged\x1b[31m\r"))
	l.write("i", bytes.Repeat([]byte("é"), maxLogLine))
	got := texts(t, l, backends.LogQuery{})
	if len(got) != 2 || got[0] != "a forged\x1b[31m\r" {
		t.Fatalf("%d lines, first %q", len(got), got[0])
	}
	if want := strings.Repeat("é", maxLogLine/2) + " [16384 bytes cut]"; got[1] != want {
		t.Errorf("long line is %d bytes, ends in %q", len(got[1]), got[1][len(got[1])-30:])
	}
}

func TestLogKeepsThreeFilesOfTheLatestLines(t *testing.T) {
	dir := t.TempDir()
	s := openLogs(t, dir, 1000, 1<<30)
	l := s.of(logKey)
	for i := range 200 {
		l.write("i", fmt.Appendf(nil, "line %04d", i))
	}
	files, err := filepath.Glob(filepath.Join(dir, "ns", "fn", "*"))
	if err != nil || len(files) != logFiles {
		t.Errorf("files: %v, %v", files, err)
	}
	var size int64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || info.Size() > 1000 {
			t.Fatalf("%v, %v", info, err)
		}
		size += info.Size()
	}
	if got := s.size.Load(); got != size {
		t.Errorf("counted %d bytes, the disk has %d", got, size)
	}
	got := texts(t, l, backends.LogQuery{})
	if len(got) < 40 || got[len(got)-1] != "line 0199" || !slices.IsSorted(got) {
		t.Errorf("%d lines, the last is %q", len(got), got[len(got)-1])
	}
}

func TestLogsInAllAreBoundedAndTheOldestGoFirst(t *testing.T) {
	s := openLogs(t, t.TempDir(), 1000, 10_000)
	at := time.Now().Add(-time.Hour)
	for f := range 30 {
		l := s.of(backends.Key{Namespace: "ns", Name: fmt.Sprint("fn", f)})
		for range 12 {
			at = at.Add(time.Second)
			l.append(at, "i", []byte("twenty bytes of text"))
		}
		s.makeRoom()
		if got := s.size.Load(); got > 10_000 {
			t.Fatalf("%d bytes after function %d", got, f)
		}
	}
	if got := texts(t, s.of(backends.Key{Namespace: "ns", Name: "fn0"}), backends.LogQuery{}); len(got) != 0 {
		t.Errorf("the oldest log still has %d lines", len(got))
	}
	if got := texts(t, s.of(backends.Key{Namespace: "ns", Name: "fn29"}), backends.LogQuery{}); len(got) != 12 {
		t.Errorf("the latest log has %d of 12 lines", len(got))
	}
}

func TestLogOfAFunctionThatFloodsIsCutAndSaysSo(t *testing.T) {
	l := openLogs(t, t.TempDir(), 1<<30, 1<<40).of(logKey)
	at, line := time.Now(), bytes.Repeat([]byte("x"), 1000)
	for range 20_000 { // 20 MB within no time
		l.append(at, "i", line)
	}
	l.append(at.Add(time.Second), "i", []byte("later"))
	got := texts(t, l, backends.LogQuery{})
	if n := len(got) - 2; n < 8000 || n > 8400 {
		t.Errorf("%d lines were kept", n)
	}
	if note := got[len(got)-2]; !strings.Contains(note, "lines dropped") || got[len(got)-1] != "later" {
		t.Errorf("the last lines are %q and %q", note, got[len(got)-1])
	}
}

func TestFollowGivesEveryLineInOrderAcrossRotation(t *testing.T) {
	l := openLogs(t, t.TempDir(), 20_000, 1<<30).of(logKey)
	l.write("i", []byte("line 0"))
	l.write("i", []byte("line 1"))
	ctx, cancel := context.WithCancel(t.Context())
	const lines, ahead = 4000, 100
	seen := make(chan int, lines)
	go func() {
		defer close(seen)
		n := 1 // the tail is one line
		for line, err := range l.lines(ctx, backends.LogQuery{Follow: true, Tail: 1}) {
			if want := fmt.Sprint("line ", n); err != nil || line.Text != want {
				t.Errorf("got %q, %v; want %q", line.Text, err, want)
				return
			}
			seen <- n
			n++
		}
	}()
	if n := <-seen; n != 1 {
		t.Fatalf("the tail is line %d", n)
	}
	for i, more := 2, true; i < lines; i++ {
		l.write("i", fmt.Appendf(nil, "line %d", i))
		for n := 0; i%ahead == 0 && n != i && more; { // let the follower wait now and then
			n, more = <-seen
		}
	}
	for n := range seen {
		if n == lines-1 {
			cancel()
		}
	}
	cancel()
	if first, _ := l.extent(); first.number < 4 {
		t.Errorf("the oldest file is number %d: nothing was rotated away", first.number)
	}
}

func TestFollowWaitsForALogThatIsNotThereYetAndEndsWithTheFunction(t *testing.T) {
	s := openLogs(t, t.TempDir(), 1<<20, 1<<30)
	got := make(chan string)
	go func() {
		defer close(got)
		for line := range s.of(logKey).lines(t.Context(), backends.LogQuery{Follow: true}) {
			got <- line.Text
		}
	}()
	s.of(logKey).write("i", []byte("first"))
	if text := <-got; text != "first" {
		t.Errorf("got %q", text)
	}
	old := s.of(logKey)
	s.remove(logKey)
	if text, more := <-got; more {
		t.Errorf("went on with %q", text)
	}
	old.write("i", []byte("from a call that was under way"))
	if entries, _ := os.ReadDir(old.dir); len(entries) != 0 || s.size.Load() != 0 {
		t.Errorf("left behind %v, %d bytes", entries, s.size.Load())
	}
	if got := texts(t, s.of(logKey), backends.LogQuery{}); len(got) != 0 {
		t.Errorf("a new function of that name sees %q", got)
	}
}

func TestFunctionWhoseLogCannotBeWrittenGoesOn(t *testing.T) {
	dir := t.TempDir()
	l := openLogs(t, dir, 1<<20, 1<<30).of(logKey)
	if err := os.WriteFile(filepath.Join(dir, "ns"), nil, 0o600); err != nil { // where its directory has to be
		t.Fatal(err)
	}
	l.write("i", []byte("lost"))
	if err := os.Remove(filepath.Join(dir, "ns")); err != nil {
		t.Fatal(err)
	}
	l.write("i", []byte("kept"))
	if got := texts(t, l, backends.LogQuery{}); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("got %q", got)
	}
}

func TestReadingALogWhoseFilesSomebodyRemovedEnds(t *testing.T) {
	dir := t.TempDir()
	l := openLogs(t, dir, 1<<20, 1<<30).of(logKey)
	l.write("i", []byte("gone"))
	if err := os.RemoveAll(filepath.Join(dir, "ns", "fn")); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, l, backends.LogQuery{}); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	l.closeIfSilentSince(time.Now().Add(time.Hour))
	l.write("i", []byte("new"))
	if got := texts(t, l, backends.LogQuery{}); !slices.Equal(got, []string{"new"}) {
		t.Errorf("got %q", got)
	}
}
