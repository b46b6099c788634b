package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hearth/backends/inproc/store"
)

// canaries are values that must show nowhere but where they belong. Each is
// searched as it is and in base64, as an Authorization header has it.
type canaries struct{ secret, updated, guess, token, body string }

func newCanaries() canaries {
	at := func(what string) string { return fmt.Sprintf("canary-%s-%x", what, time.Now().UnixNano()) }
	return canaries{at("secret"), at("updated"), at("guess"), at("token"), at("body")}
}

// forms gives every form of every canary, and the server's password.
func (c canaries) forms(password string) map[string]string {
	forms := map[string]string{"password": password, "credentials": base64.StdEncoding.EncodeToString([]byte("admin:" + password))}
	for name, v := range map[string]string{"secret": c.secret, "updated secret": c.updated, "guess": c.guess, "token": c.token, "body": c.body} {
		forms[name] = v
		forms[name+" in base64"] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	forms["guessed credentials"] = base64.StdEncoding.EncodeToString([]byte("admin:" + c.guess))
	return forms
}

// TestSecretsShowNowhere sends canaries through everything that takes secrets,
// right and wrong, at debug level, and then searches the log, the answers, the
// metrics, the processes and the files.
func TestSecretsShowNowhere(t *testing.T) {
	c := newCanaries()
	s := testServer(t, "--log-level", "debug", "--call-log")
	var answers bytes.Buffer
	send := func(method, path, body string, header ...string) int {
		return record(t, &answers, s.url+path, method, body, s.password(), header...)
	}
	exercise(t, c, send)
	broken(t, &answers, s, c)
	processes := watchChildren(t, s, func() {
		if code := send("PUT", "/system/modules", string(goModule(t))); code != http.StatusCreated {
			t.Errorf("upload: status %d", code)
		}
	})
	places := map[string]string{
		"the log": s.stderr.String(), "standard output": s.stdout.String(), "an answer": answers.String(),
		"the metrics": metrics(t, s), "the command line or environment of a process": processes,
	}
	for what, value := range c.forms(s.password()) {
		for place, text := range places {
			if strings.Contains(text, value) {
				t.Errorf("the %s is in %s", what, place)
			}
		}
	}
	if !strings.Contains(s.stderr.String(), "level=ERROR") && !strings.Contains(s.stderr.String(), "level=INFO") {
		t.Errorf("the log is empty: nothing was searched:\n%s", s.stderr.String())
	}
	searchFiles(t, s, c)
}

// exercise sends each canary where it belongs, and where it fails.
func exercise(t *testing.T, c canaries, send func(method, path, body string, header ...string) int) {
	t.Helper()
	steps := []struct {
		method, path, body string
		want               int
		header             []string
	}{
		{"POST", "/system/secrets", `{"name":"key","value":"` + c.secret + `"}`, 202, nil},
		{"POST", "/system/secrets", `{"name":"key","value":"` + c.secret + `"}`, 409, nil},
		{"PUT", "/system/secrets", `{"name":"key","value":"` + c.updated + `"}`, 202, nil},
		{"PUT", "/system/secrets", `{"name":"other","value":"` + c.secret + `"}`, 404, nil},
		{"POST", "/system/secrets", `{"name":"Bad Name","value":"` + c.secret + `"}`, 400, nil},
		{"POST", "/system/secrets", `{"name":"key","namespace":"nowhere","value":"` + c.secret + `"}`, 404, nil},
		{"POST", "/system/secrets", `{"name":"cut","value":"` + c.secret, 400, nil},
		{"POST", "/system/secrets", `{"name":"kind","value":["` + c.secret + `"]}`, 400, nil},
		{"GET", "/system/secrets", "", 200, nil},
		{"DELETE", "/system/secrets", `{"name":"nope","value":"` + c.secret + `"}`, 404, nil},
		{"POST", "/system/functions", `{"service":"sum","image":"store/sha512sum","secrets":["key"]}`, 202, nil},
		{"POST", "/system/functions", `{"service":"exit","image":"store/status"}`, 202, nil},
		{"GET", "/system/functions", "", 200, nil},
		{"GET", "/system/function/sum?usage=1", "", 200, nil},
		{"GET", "/system/functions", "", 401, []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("admin:"+c.guess))}},
		{"GET", "/system/functions", "", 401, []string{"Authorization", "Bearer " + c.guess}},
		{"GET", "/system/functions", "", 401, []string{"Authorization", "Basic " + c.guess}},
		{"POST", "/function/sum", c.body, 200, []string{"Authorization", "Bearer " + c.token, "Cookie", "session=" + c.token}},
		{"POST", "/function/nobody", c.body, 404, []string{"Authorization", "Bearer " + c.token}},
		{"POST", "/function/sum", strings.Repeat(c.body, 1+(16<<20)/len(c.body)), 413, []string{"Authorization", "Bearer " + c.token}},
		{"GET", "/system/logs?name=sum", "", 200, nil},
		{"GET", "/system/info", "", 200, nil},
	}
	for _, step := range steps {
		if got := send(step.method, step.path, step.body, step.header...); got != step.want {
			t.Errorf("%s %s: status %d, want %d", step.method, step.path, got, step.want)
		}
	}
}

// record makes a request, with the server's credentials unless a header says
// otherwise, and adds the whole answer to what was seen.
func record(t *testing.T, answers io.Writer, url, method, body, password string, header ...string) int {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(url, "/system/") {
		req.SetBasicAuth("admin", password)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	if err := resp.Write(answers); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// broken sends requests that no parser takes, with a canary in each.
func broken(t *testing.T, answers io.Writer, s *instance, c canaries) {
	t.Helper()
	for _, request := range []string{
		"GET /system/functions HTTP/1.1\r\nHost: x\r\nAuthorization : Basic " + c.token + "\r\n\r\n",
		"GET /system/functions HTTP/1.1\r\nHost: x\r\nAuthorization: " + c.token + "\x00\r\n\r\n",
		"GET /function/sum HTTP/1.1\r\nHost: x\r\n" + c.token + "\r\n\r\n",
		"GET /function/sum HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat(c.token, 10_000) + "\r\n\r\n",
		"POST /function/sum HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + c.body,
		"POST /function/sum HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + c.body + "\r\n",
		c.token + "\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, request) // the server may have refused before the end
		_, _ = io.Copy(answers, conn)
		_ = conn.Close()
	}
}

// watchChildren gives the command lines and environments of the server and of
// every child it has while do runs.
func watchChildren(t *testing.T, s *instance, do func()) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan string)
	go func() {
		all := map[string]bool{}
		for ctx.Err() == nil {
			for _, pid := range append(children(s.cmd.Process.Pid), s.cmd.Process.Pid) {
				for _, file := range []string{"cmdline", "environ"} {
					text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
					if err == nil {
						all[fmt.Sprintf("%d %s %s", pid, file, text)] = true
					}
				}
			}
			time.Sleep(time.Millisecond)
		}
		var b strings.Builder
		for text := range all {
			b.WriteString(text + "\n")
		}
		seen <- b.String()
	}()
	do()
	cancel()
	return <-seen
}

// children gives the processes that a process started.
func children(pid int) []int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		return nil
	}
	var list []int
	for field := range strings.FieldsSeq(string(text)) {
		var child int
		if _, err := fmt.Sscan(field, &child); err == nil {
			list = append(list, child)
		}
	}
	return list
}

// goModule compiles a Go program, big enough that compiling it again takes a
// child a while.
func goModule(t *testing.T) []byte {
	t.Helper()
	if raceEnabled { // compiling it would take longer than a compilation may
		function, _ := store.Lookup("json")
		return append(function.Wasm, 0, 2, 1, 'x') // a custom section: not the module that is cached
	}
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"main.go": "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n", "go.mod": "module m\n"})
	cmd := exec.Command("go", "build", "-o", "m.wasm", ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	content, err := os.ReadFile(filepath.Join(dir, "m.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// searchFiles checks that nobody else can read the state, that a secret is in
// the state only, and that a crash leaves no core.
func searchFiles(t *testing.T, s *instance, c canaries) {
	t.Helper()
	found := false
	err := filepath.WalkDir(s.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %o: others can read it", path, info.Mode().Perm())
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		state := strings.HasPrefix(path, filepath.Join(s.data, "state")+"/")
		for what, value := range c.forms(s.password()) {
			if !bytes.Contains(content, []byte(value)) || what == "password" && filepath.Base(path) == passwordFile {
				continue
			}
			if found = found || what == "updated secret in base64" || what == "updated secret"; !state || !strings.HasPrefix(what, "updated secret") {
				t.Errorf("the %s is in %s", what, path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Error("the secret is in no file: the search does not see what it should")
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if fields := strings.Fields(line); strings.HasPrefix(line, "Max core file size") && fields[4] != "0" {
			t.Errorf("a crash would leave a core: %s", line)
		}
	}
}
