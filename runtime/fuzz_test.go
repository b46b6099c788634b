package runtime

import (
	"bytes"
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hearth/backends"
)

// FuzzResolve: whatever the path, what it names is what the path package says it names below the directory, and nothing else ever is.
func FuzzResolve(f *testing.F) {
	for _, seed := range []string{"", ".", "..", "one", "./one", "one/", "../one", "/one", "one/..", "a/../one", "one\x00", "...", strings.Repeat("x/", 3000)} {
		f.Add(seed)
	}
	d := newSecretDir("", map[string][]byte{"one": nil, "two.three": nil})
	f.Fuzz(func(t *testing.T, name string) {
		file, e := d.resolve(name)
		if e != errnoSuccess {
			return
		}
		if inside, ok := strings.CutPrefix(name, defaultSecretPath+"/"); ok || name == defaultSecretPath {
			name = "./" + strings.TrimPrefix(inside, defaultSecretPath)
		}
		if strings.HasPrefix(name, "/") || slices.Contains(strings.Split(name, "/"), "..") || strings.ContainsRune(name, 0) {
			t.Fatalf("%q was found", name)
		}
		want := "."
		if file >= 0 {
			want = d.names[file]
		}
		if path.Clean(name) != want {
			t.Fatalf("%q is %q, found %q", name, path.Clean(name), want)
		}
	})
}

// kept is a response that checks what a server relies on.
type kept struct {
	t      *testing.T
	status int
	lines  []string
	body   bytes.Buffer
}

func (k *kept) SetStatus(code int) {
	if code < 200 || code > 599 {
		k.t.Fatalf("status %d", code)
	}
	k.status = code
}
func (k *kept) SetHeader(name, value []byte) { k.AddHeader(name, value) }
func (k *kept) AddHeader(name, value []byte) {
	if bytes.ContainsAny(name, "\r\n: \x00") || len(name) == 0 || bytes.ContainsAny(value, "\r\n\x00") || isFraming(name) {
		k.t.Fatalf("header %q: %q", name, value)
	}
	k.lines = append(k.lines, string(name)+": "+string(value))
}
func (k *kept) Write(p []byte) (int, error) { return k.body.Write(p) }

// cgi gives output to an answer in pieces of n bytes.
func cgi(t *testing.T, output []byte, n int) (k *kept, err error) {
	k = &kept{t: t}
	var a answer
	a.begin(k, 1<<20, true)
	defer func() {
		if r := recover(); r != nil {
			h, ok := r.(*halt)
			if !ok {
				panic(r)
			}
			err = h.err
		}
	}()
	for len(output) > 0 {
		n = min(n, len(output))
		a.write(output[:n])
		output = output[n:]
	}
	return k, a.finish()
}

// FuzzCGI: in however many pieces an answer comes, it means the same, and no header can smuggle another.
func FuzzCGI(f *testing.F) {
	for _, seed := range []string{"", "\n", "\r\n\r\n", "Status: 404 Not Found\r\nX-A: b\r\n\r\nbody", "A: b\n\nbody\n\nmore", "Location: /x\n\n", "bad\n\n", "Content-Length: 3\n\nx",
		"A: b\rSet-Cookie: c\n\n", "Status: 99\n\n", ": x\n\n", "A:\n\n", " A: b\n\n"} {
		f.Add([]byte(seed), 1)
	}
	f.Fuzz(func(t *testing.T, output []byte, n int) {
		whole, err := cgi(t, output, len(output))
		pieces, err2 := cgi(t, output, max(n, 1))
		if (err == nil) != (err2 == nil) {
			t.Fatalf("whole: %v, in pieces: %v", err, err2)
		}
		if err != nil {
			if !errors.Is(err, backends.ErrFunction) && !errors.Is(err, backends.ErrAnswerTooLarge) {
				t.Fatalf("error %v of no kind", err)
			}
			return
		}
		if whole.status != pieces.status || !slices.Equal(whole.lines, pieces.lines) || !bytes.Equal(whole.body.Bytes(), pieces.body.Bytes()) {
			t.Fatalf("whole %+v, in pieces %+v", whole, pieces)
		}
	})
}

func TestACGIHeaderBlockBecomesStatusAndHeaders(t *testing.T) {
	for output, want := range map[string]string{
		"Status: 404 Not Found\r\nX-A: b\r\n\r\nbody":     "404 [X-A: b] body",
		"Content-Type: text/plain\n\n":                    "0 [Content-Type: text/plain] ",
		"\nall body":                                      "0 [] all body",
		"Location: /there\n\n":                            "302 [Location: /there] ",
		"Location: /there\nStatus: 201\n\n":               "201 [Location: /there] ",
		"A:  b \nA: c\nContent-Length: 3\n\nbody\n\nmore": "0 [A: b A: c] body\n\nmore",
		"no header block":                                 "no CGI header block",
		"A: b\n":                                          "no CGI header block",
		"":                                                "no CGI header block",
		"plain text\n\n":                                  "want Name: value",
		"A: b\rSet-Cookie: c\n\n":                         "want Name: value",
		"A b: c\n\n":                                      "want Name: value",
		"Status: teapot\n\n":                              "200 to 599",
		"Status: 100\n\n":                                 "200 to 599",
		"A: " + strings.Repeat("x", maxHeaderBlock) + "\n\n": "longer than",
	} {
		k, err := cgi(t, []byte(output), 7)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = strings.Join([]string{strconv.Itoa(k.status), "[" + strings.Join(k.lines, " ") + "]", k.body.String()}, " ")
		}
		if err != nil && !strings.Contains(got, want) || err == nil && got != want {
			t.Errorf("%.60q: %q, want %q", output, got, want)
		}
	}
}
