package store

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// sizes lie around the programs' buffers (32, 48 and 64 KiB) and the hashes' blocks.
var sizes = []int{0, 1, 2, 3, 55, 56, 63, 64, 65, 111, 112, 119, 127, 128, 129, 255, 32<<10 - 1, 32 << 10, 32<<10 + 1, 48 << 10, 48<<10 + 1,
	64<<10 - 1, 64 << 10, 64<<10 + 1, 200_000}

func randomBytes(n int) []byte {
	source := rand.NewChaCha8([32]byte{1})
	out := make([]byte, n)
	_, _ = source.Read(out) // it never fails
	return out
}

func TestSumsAndBase64AgreeWithTheStandardLibraryAtEverySize(t *testing.T) {
	r, f := newReferee(t), lookup(t, "alpine")
	for _, n := range sizes {
		data := randomBytes(n)
		encoded := base64.StdEncoding.EncodeToString(data)
		for process, want := range map[string]string{
			"sha256sum":     fmt.Sprintf("%x  -\n", sha256.Sum256(data)),
			"sha512sum":     fmt.Sprintf("%x  -\n", sha512.Sum512(data)),
			"base64 -w 0":   encoded,
			"cat":           string(data),
			"head -c 70000": string(data[:min(n, 70000)]),
			"tail -c 70000": string(data[max(0, n-70000):]),
		} {
			if o := r.run(t, f, call{process: strings.Fields(process), stdin: data}); string(o.stdout) != want || o.exit != 0 {
				t.Errorf("%s of %d bytes: exit %d, %d bytes that differ from the %d expected", process, n, o.exit, len(o.stdout), len(want))
			}
		}
		if o := r.run(t, f, call{process: []string{"base64", "-d"}, stdin: []byte(encoded)}); !bytes.Equal(o.stdout, data) || o.exit != 0 {
			t.Errorf("base64 -d of %d bytes: exit %d, %d bytes that differ", n, o.exit, len(o.stdout))
		}
	}
}

func TestProgramsTakeBodiesOf16MiB(t *testing.T) {
	r := newReferee(t)
	data := bytes.Repeat([]byte("0123456789abcde\n"), 1<<20)
	quoted := []byte(`"` + strings.Repeat("x", 16<<20-2) + `"`)
	for name, c := range map[string]struct{ stdin, want []byte }{
		"cat":       {data, data},
		"sha512sum": {data, fmt.Appendf(nil, "%x  -\n", sha512.Sum512(data))},
		"wordcount": {data, []byte("1048576 1048576 16777216\n")},
		"json":      {quoted, append([]byte("Status: 200 OK\r\nContent-Type: application/json\r\n\r\n"), append(quoted, '\n')...)},
		"sleep":     {data, []byte("Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nSlept for: 2.000000s")},
	} {
		if o := r.run(t, lookup(t, name), call{stdin: c.stdin}); !bytes.Equal(o.stdout, c.want) || o.exit != 0 {
			t.Errorf("%s: exit %d, %d bytes %.60q, want %d bytes %.60q", name, o.exit, len(o.stdout), o.stdout, len(c.want), c.want)
		}
	}
}

// dribble takes at most a few bytes of each write, as a full pipe does, and fails once limit bytes are in.
type dribble struct {
	got   bytes.Buffer
	limit int
}

func (d *dribble) Write(p []byte) (int, error) {
	if d.got.Len() >= d.limit {
		return 0, errors.New("no more")
	}
	return d.got.Write(p[:min(len(p), 7)])
}

func TestEveryFunctionWritesOnAfterAShortWrite(t *testing.T) {
	r := newReferee(t)
	for _, f := range Functions() {
		c := call{stdin: []byte(`{"name": "Ada", "of": [1, 2, 3]}`), env: [][2]string{{"destination", "/function/other"}}}
		whole := r.run(t, f, c)
		d := &dribble{limit: 1 << 20}
		c.stdout = d
		o := r.run(t, f, c)
		if o.exit != 0 || whole.exit != 0 || !bytes.Equal(d.got.Bytes(), whole.stdout) || len(whole.stdout) < 7 {
			t.Errorf("%s: exit %d, %q in short writes, %q in one", f.Name, o.exit, d.got.Bytes(), whole.stdout)
		}
	}
}

func TestEveryFunctionFailsWhenItsOutputIsRefused(t *testing.T) {
	r := newReferee(t)
	for _, f := range Functions() {
		c := call{stdin: []byte(`"Ada"`), env: [][2]string{{"destination", "/"}}, stdout: &dribble{}}
		if o := r.run(t, f, c); o.exit != 1 || !bytes.Contains(o.stderr, []byte("cannot write the output")) {
			t.Errorf("%s: exit %d, stderr %q, want exit 1 and a complaint", f.Name, o.exit, o.stderr)
		}
	}
}

func TestSleepPicksATimeBetweenItsBounds(t *testing.T) {
	r, f := newReferee(t), lookup(t, "sleep")
	seen := map[time.Duration]bool{}
	for range 50 {
		o := r.run(t, f, call{env: [][2]string{{"Http_X_Min_Sleep", "10ms"}, {"Http_X_Max_Sleep", "20ms"}}})
		if o.slept < 10*time.Millisecond || o.slept > 20*time.Millisecond {
			t.Fatalf("slept %v, want 10ms to 20ms", o.slept)
		}
		seen[o.slept] = true
	}
	if len(seen) < 25 {
		t.Errorf("%d different times in 50 calls", len(seen))
	}
}

// indented is what the json function must answer, by the standard library; ok is whether the text is JSON.
func indented(text []byte) (answer []byte, ok bool) {
	var out bytes.Buffer
	if json.Indent(&out, bytes.Trim(text, " \t\r\n"), "", "  ") != nil {
		return nil, false
	}
	return append(out.Bytes(), '\n'), true
}

func checkJSON(t *testing.T, r *referee, f Function, text []byte) {
	t.Helper()
	o := r.run(t, f, call{stdin: text})
	if o.exit != 0 {
		t.Fatalf("exit %d for %q", o.exit, text)
	}
	header, body := cutHeader(t, o.stdout)
	want, valid := indented(text)
	if accepted := bytes.Contains(header, []byte("Status: 200 OK\n")); accepted != valid {
		t.Fatalf("%q: answered %q %q, valid by the standard library: %t", text, header, body, valid)
	}
	if valid && !bytes.Equal(body, want) {
		t.Fatalf("%q:\n got %q\nwant %q", text, body, want)
	}
}

// beginning keeps the first bytes written and counts the rest as written.
type beginning struct{ kept []byte }

func (b *beginning) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), 64-len(b.kept))]...)
	return len(p), nil
}

func TestJSONTakesTenThousandLevelsAndNoMore(t *testing.T) {
	r, f := newReferee(t), lookup(t, "json")
	nested := func(levels int) []byte {
		return []byte(strings.Repeat("[", levels) + strings.Repeat("]", levels))
	}
	for levels, status := range map[int]string{10_000: "Status: 200 OK", 10_001: "Status: 400 Bad Request"} {
		var answer beginning
		r.run(t, f, call{stdin: nested(levels), stdout: &answer})
		if !bytes.HasPrefix(answer.kept, []byte(status)) {
			t.Errorf("%d levels: answer begins %q, want %q", levels, answer.kept, status)
		}
	}
}

func FuzzJSONAgreesWithTheStandardLibrary(f *testing.F) {
	for _, seed := range []string{"", " ", "{}", "[ ]", `{"a":[1,-2.5e+3,true,false,null,{}]}`, `["\u00e9\\\"", ""]`, "[1 2]", `{"a":`,
		"[1,]", "01", "-", "1.", "1e", "1e+", `"\x"`, `"\u12g4"`, "nul", "truex", "{1:2}", `{"a":1]`, `[1}`, "\"\t\"", "\"\x00\"", "\x00", "\xff", "\"\xff\"",
		"[[[[]]]]", `{"a":{"b":{"c":[]}}}`, "1 2", "[],", "\ufeff[]", "-0", "0.10", "1E5"} {
		f.Add([]byte(seed))
	}
	r, fn := newReferee(f), lookup(f, "json")
	f.Fuzz(func(t *testing.T, text []byte) { checkJSON(t, r, fn, text) })
}
