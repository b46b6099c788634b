package gateway

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// recorder is a replica that keeps what it was sent. What did not come to its
// end is none: a body may be found wrong after its head was sent, and is cut.
type recorder struct {
	mu   sync.Mutex
	seen []string
}

func (s *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.seen = append(s.seen, fmt.Sprintf("%s %s %q", r.Method, r.RequestURI, body))
	s.mu.Unlock()
	io.WriteString(w, "ok")
}

func (s *recorder) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

func TestAReplicaSeesTheRequestsThatTheGatewaySawAndNoOther(t *testing.T) {
	g, url := serve(t, testConfig())
	var replicaSaw recorder
	setFunction(g, "f", nil, at(replica(t, replicaSaw.ServeHTTP)))
	files, err := filepath.Glob("../testdata/http/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	cases := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			field := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			raw, err := strconv.Unquote(field[1])
			if err != nil {
				t.Fatal(err)
			}
			cases++
			name := filepath.Base(file) + ", " + field[2]
			throughTheGateway(t, url, name, raw, field[0] == "200", &replicaSaw)
		}
	}
	t.Logf("%d cases", cases)
}

// throughTheGateway sends a case between two requests that are whole and
// compares what the replica got.
func throughTheGateway(t *testing.T, url, name, raw string, valid bool, replicaSaw *recorder) {
	t.Helper()
	const around = "GET /function/f/%s HTTP/1.1\r\nHost: b\r\n%s\r\n"
	conn := dial(t, url)
	defer conn.Close()
	raw = strings.Replace(raw, " /", " /function/f/", 1)
	if _, err := io.WriteString(conn, fmt.Sprintf(around, "before", "")+raw+fmt.Sprintf(around, "after", "Connection: close\r\n")); err != nil {
		t.Fatal(err)
	}
	answers, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	seen := replicaSaw.take()
	for _, s := range seen {
		if strings.HasPrefix(s, "GET /smuggled") || strings.HasPrefix(s, "GET /function") {
			t.Errorf("%s: the replica saw %s", name, s)
		}
	}
	after := len(seen) > 0 && strings.HasPrefix(seen[len(seen)-1], "GET /after ")
	count := strings.Count(string(answers), "HTTP/1.1 200 OK\r\n")
	if len(seen) == 0 || !strings.HasPrefix(seen[0], "GET /before ") || after != valid || !valid && len(seen) != 1 || count != len(seen) {
		t.Errorf("%s: %d answers of a function to %q:\n%s", name, count, seen, answers)
	}
}
