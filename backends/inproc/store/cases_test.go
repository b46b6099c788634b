package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite what the golden cases expect from what the modules answer")

// casesGlob finds the golden cases. A case is a txtar file: its comment holds "key: value" lines (function, process, env, input,
// exit, slept), its files are the stdin and what is expected: stdout, stderr, header. A file named "stdin (no newline)" ends without
// one; output above 64 KiB is kept as its hash in the line "output"; "secret NAME" is a file under /var/openfaas/secrets; header is
// the CGI header block of a function whose output is "cgi", and stdout then the body after it.
const casesGlob = "../../../testdata/guests/store/*/cases/*.txtar"

const (
	keptWhole   = 64 << 10
	noNewline   = " (no newline)"
	secretFiles = "secret "
)

type goldenCase struct {
	archive  *txtar.Archive
	function string
	call     call
	want     []string // lines of the comment that say what is expected
}

func readCase(t *testing.T, path string) goldenCase {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := goldenCase{archive: archive}
	for line := range strings.Lines(string(archive.Comment)) {
		key, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch key {
		case "function":
			c.function = value
		case "process":
			c.call.process = strings.Split(value, " ")
		case "env":
			name, value, _ := strings.Cut(value, "=")
			c.call.env = append(c.call.env, [2]string{name, value})
		case "input":
			c.call.stdin = generated(t, value)
		case "exit", "slept", "output":
			c.want = append(c.want, strings.TrimSuffix(line, "\n"))
		default:
			t.Fatalf("%s: line %q: want function, process, env, input, exit, slept or output", path, line)
		}
		if !found {
			t.Fatalf("%s: line %q has no value", path, line)
		}
	}
	for _, file := range archive.Files {
		name, trim := strings.CutSuffix(file.Name, noNewline)
		data := file.Data
		if trim {
			data = bytes.TrimSuffix(data, []byte("\n"))
		}
		if name == "stdin" {
			c.call.stdin = data
		}
		if secret, ok := strings.CutPrefix(name, secretFiles); ok {
			if c.call.secrets == nil {
				c.call.secrets = map[string]string{}
			}
			c.call.secrets[secret] = string(data)
		}
	}
	return c
}

// generated makes a large input from "KIND SIZE"; the same line gives the same bytes for ever.
func generated(t *testing.T, line string) []byte {
	t.Helper()
	kind, number, _ := strings.Cut(line, " ")
	size, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("input %q: %v", line, err)
	}
	state := uint32(2463534242)
	next := func() uint32 { // xorshift32
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		return state
	}
	words := []string{"warm", "path", "function", "zero", "scale", "call", "a", "of", "queue", "replica", "secret", "log"}
	var out []byte
	switch kind {
	case "bytes":
		for len(out) < size {
			out = append(out, byte(next()>>8))
		}
	case "text":
		for len(out) < size {
			out = append(out, words[next()%uint32(len(words))]...)
			out = append(out, " \n  "[next()%4])
		}
	case "json":
		out = append(out, `[{"word":"first"}`...)
		for len(out) < size-64 {
			out = fmt.Appendf(out, `, {"%s": [%d, -%d.5e3, null], "e":{}}`, words[next()%uint32(len(words))], next()%1000, next()%1000)
		}
		out = append(out, bytes.Repeat([]byte(" "), size-1-len(out))...)
		out = append(out, ']')
	default:
		t.Fatalf("input %q: want bytes, text or json", line)
	}
	return out[:size]
}

// expected returns the comment lines and files that describe an outcome.
func expected(t *testing.T, f Function, o outcome) (lines []string, files []txtar.File) {
	t.Helper()
	if o.exit != 0 {
		lines = append(lines, fmt.Sprintf("exit: %d", o.exit))
	}
	if o.slept != 0 {
		lines = append(lines, "slept: "+o.slept.String())
	}
	body := o.stdout
	if f.Annotations[outputKey] == "cgi" && o.exit == 0 {
		var header []byte
		header, body = cutHeader(t, o.stdout)
		files = append(files, txtar.File{Name: "header", Data: header})
	}
	keep := func(name string, data []byte) {
		switch {
		case len(data) == 0:
		case len(data) > keptWhole || bytes.ContainsAny(data, "\x00\r") || bytes.Contains(data, []byte("\n-- ")):
			sum := sha256.Sum256(data)
			lines = append(lines, fmt.Sprintf("output: %s %d bytes, sha256 %s", name, len(data), hex.EncodeToString(sum[:])))
		case data[len(data)-1] != '\n':
			files = append(files, txtar.File{Name: name + noNewline, Data: append(slices.Clone(data), '\n')})
		default:
			files = append(files, txtar.File{Name: name, Data: data})
		}
	}
	keep("stdout", body)
	keep("stderr", o.stderr)
	return lines, files
}

// cutHeader splits a CGI answer and returns its header block one "Name: value" a line, as a CGI host reads it.
func cutHeader(t *testing.T, answer []byte) (header, body []byte) {
	t.Helper()
	block, body, ok := bytes.Cut(answer, []byte("\r\n\r\n"))
	if !ok {
		t.Fatalf("no CGI header block in the answer %.80q", answer)
	}
	block = append(slices.Clone(block), "\r\n\r\n"...)
	read, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(block))).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("CGI header block %q: %v", block, err)
	}
	names := make([]string, 0, len(read))
	for name := range read {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		header = fmt.Appendf(header, "%s: %s\n", name, strings.Join(read[name], ", "))
	}
	return header, body
}

func isInput(name string) bool {
	return strings.HasPrefix(name, "stdin") || strings.HasPrefix(name, secretFiles)
}

func TestEveryGoldenCaseAnswersAsWritten(t *testing.T) {
	paths, err := filepath.Glob(casesGlob)
	if err != nil || len(paths) < 3*len(catalogue()) {
		t.Fatalf("%d golden cases found (%v), want at least three for each function", len(paths), err)
	}
	r := newReferee(t)
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			c := readCase(t, path)
			f := lookup(t, c.function)
			if module := filepath.Base(filepath.Dir(filepath.Dir(path))); module != f.Module {
				t.Fatalf("the case lies under module %s, function %s is of module %s", module, f.Name, f.Module)
			}
			lines, files := expected(t, f, r.run(t, f, c.call))
			if *update {
				rewrite(t, path, c, lines, files)
				return
			}
			if got, want := strings.Join(lines, "\n"), strings.Join(c.want, "\n"); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			compareFiles(t, files, c.archive.Files)
		})
	}
}

func compareFiles(t *testing.T, got, all []txtar.File) {
	t.Helper()
	want := slices.DeleteFunc(slices.Clone(all), func(f txtar.File) bool { return isInput(f.Name) })
	for _, w := range want {
		i := slices.IndexFunc(got, func(g txtar.File) bool { return g.Name == w.Name })
		if i < 0 {
			t.Errorf("no %s, want %q", w.Name, w.Data)
		} else if !bytes.Equal(got[i].Data, w.Data) {
			t.Errorf("%s\n got %q\nwant %q", w.Name, got[i].Data, w.Data)
		}
	}
	for _, g := range got {
		if !slices.ContainsFunc(want, func(w txtar.File) bool { return w.Name == g.Name }) {
			t.Errorf("unexpected %s: %q", g.Name, g.Data)
		}
	}
}

func rewrite(t *testing.T, path string, c goldenCase, lines []string, files []txtar.File) {
	t.Helper()
	var comment []string
	for line := range strings.Lines(string(c.archive.Comment)) {
		if line = strings.TrimSuffix(line, "\n"); !slices.Contains(c.want, line) {
			comment = append(comment, line)
		}
	}
	comment = append(comment, lines...)
	kept := slices.DeleteFunc(slices.Clone(c.archive.Files), func(f txtar.File) bool { return !isInput(f.Name) })
	written := &txtar.Archive{Comment: []byte(strings.Join(comment, "\n") + "\n"), Files: append(kept, files...)}
	if err := os.WriteFile(path, txtar.Format(written), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEachFunctionHasAnEmptyASmallAndALargeCase(t *testing.T) {
	paths, err := filepath.Glob(casesGlob)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]bool{}
	for _, path := range paths {
		c := readCase(t, path)
		if found[c.function] == nil {
			found[c.function] = map[string]bool{}
		}
		switch n := len(c.call.stdin); {
		case n == 0:
			found[c.function]["empty"] = true
		case n == 1<<20:
			found[c.function]["1 MiB"] = true
		case n <= 4096:
			found[c.function]["small"] = true
		}
	}
	for _, f := range catalogue() {
		for _, size := range []string{"empty", "small", "1 MiB"} {
			if !found[f.Name][size] {
				t.Errorf("function %s has no golden case with %s input", f.Name, size)
			}
		}
	}
}
