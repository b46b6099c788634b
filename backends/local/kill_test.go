package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/backends"
)

// writerDir names the variable that makes this test binary a process of
// writers over a directory, there to be killed.
const writerDir = "HEARTH_TEST_WRITER_DIR"

const killedWriters = 8

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		if err := write(dir, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// operation is one change of one thing: deploy, update, scale or delete of a
// function, or create, change or forget of a secret.
type operation struct{ verb, name, value string }

// do makes the change.
func (o operation) do(ctx context.Context, l *Local) error {
	f := backends.Function{Key: backends.Key{Namespace: backends.DefaultNamespace, Name: o.name}, Image: "hello", Env: map[string]string{"v": o.value}}
	s := backends.Secret{Namespace: f.Namespace, Name: o.name, Value: []byte(o.value)}
	switch o.verb {
	case "deploy":
		return l.Deploy(ctx, f)
	case "update":
		return l.Update(ctx, f)
	case "scale":
		n, err := strconv.Atoi(o.value)
		if err != nil {
			return err
		}
		return l.Scale(ctx, f.Key, n)
	case "delete":
		return l.Delete(ctx, f.Key)
	case "create":
		return l.Powers().Secrets.Create(ctx, s)
	case "change":
		return l.Powers().Secrets.Update(ctx, s)
	case "forget":
		return l.Powers().Secrets.Delete(ctx, s.Namespace, s.Name)
	}
	return fmt.Errorf("no operation %q", o.verb)
}

// write makes random changes from several goroutines until it is killed. It
// writes a line to the ledger before each ("begin"), and after it was
// acknowledged ("done", with the kind of a refusal).
func write(dir string, ledger io.Writer) error {
	l, err := Open(Config{Dir: dir})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(ledger, format+"\n", args...) // one write: never cut by the kill
	}
	var wait sync.WaitGroup
	for w := range killedWriters {
		wait.Go(func() {
			verbs := []string{"deploy", "update", "scale", "delete", "create", "change", "forget"}
			for {
				o := operation{verbs[rand.IntN(len(verbs))], fmt.Sprintf("w%d-%d", w, rand.IntN(3)), strconv.Itoa(rand.IntN(1000))}
				note("begin %d %s %s %s", w, o.verb, o.name, o.value)
				err := o.do(context.Background(), l)
				result := "ok"
				switch {
				case errors.Is(err, backends.ErrExists), errors.Is(err, backends.ErrNotFound):
					result = "refused"
				case err != nil:
					result = strings.ReplaceAll(err.Error(), " ", "_")
				}
				note("done %d %s", w, result)
			}
		})
	}
	wait.Wait()
	return nil
}

// model is what the ledger says is stored: functions as value/replicas,
// secrets, whose names get a $ before them, as their value.
type model map[string]string

// apply makes an operation's change and tells whether it is one: it is not
// when the backend must refuse it.
func (m model) apply(o operation) bool {
	thing := o.name
	if slices.Contains([]string{"create", "change", "forget"}, o.verb) {
		thing = "$" + thing
	}
	old, there := m[thing]
	if there == (o.verb == "deploy" || o.verb == "create") {
		return false
	}
	env, replicas, _ := strings.Cut(old, "/")
	switch o.verb {
	case "deploy":
		m[thing] = o.value + "/1"
	case "update":
		n, _ := strconv.Atoi(replicas)
		m[thing] = o.value + "/" + strconv.Itoa(min(n, backends.DefaultScale.Max))
	case "scale":
		m[thing] = env + "/" + o.value
	case "create", "change":
		m[thing] = o.value
	case "delete", "forget":
		delete(m, thing)
	}
	return true
}

// stored is the model of what a directory holds.
func stored(t *testing.T, dir string) model {
	t.Helper()
	l := openWith(t, dir, osFiles{})
	m := model{}
	for key, s := range l.functions {
		m[key.Name] = s.Env["v"] + "/" + strconv.Itoa(s.Replicas)
	}
	for key, value := range l.secrets {
		m["$"+key.name] = string(value)
	}
	return m
}

// TestAKilledProcessLosesNothingAcknowledged kills a process of eight writers
// 0 to 50 ms after a random acknowledgement, again and again on one directory,
// and compares each writer's ledger with what is found.
func TestAKilledProcessLosesNothingAcknowledged(t *testing.T) {
	rounds := 20
	if n, err := strconv.Atoi(os.Getenv("CHECK_SCALE")); err == nil && n > 0 {
		rounds *= n
	}
	dir := filepath.Join(t.TempDir(), "state")
	want, inFlight := model{}, 0
	for round := range rounds {
		begun := killAmidWrites(t, dir, want)
		if len(begun) > 0 {
			inFlight++
		}
		found := stored(t, dir)
		// What was begun and not acknowledged is there as a whole or not at all.
		for _, o := range begun {
			done := maps.Clone(want)
			done.apply(o)
			for _, thing := range []string{o.name, "$" + o.name} {
				if v, ok := done[thing]; found[thing] == v && ok == has(found, thing) {
					delete(want, thing)
					if ok {
						want[thing] = v
					}
				}
			}
		}
		if !maps.Equal(found, want) {
			t.Fatalf("round %d: there is\n%v\nbut acknowledged was\n%v\nand in flight %v", round, found, want, begun)
		}
	}
	if kept, err := os.ReadDir(filepath.Join(dir, quarantineDir)); err != nil || len(kept) > 0 {
		t.Errorf("quarantine holds %v, %v; a kill must tear nothing", kept, err)
	}
	t.Logf("CHECK 49: %d rounds, %d with an operation in flight", rounds, inFlight)
	if inFlight < rounds*4/5 {
		t.Errorf("only %d of %d kills met an operation in flight; want 4 of 5", inFlight, rounds)
	}
}

func has(m model, thing string) bool { _, ok := m[thing]; return ok }

// killAmidWrites runs the writers, kills them, applies what they had
// acknowledged to the model, and gives what was in flight.
func killAmidWrites(t *testing.T, dir string, m model) (inFlight map[string]operation) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), writerDir+"="+dir)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killAfter := 1 + rand.IntN(200) // acknowledgements
	inFlight = map[string]operation{}
	lines := bufio.NewScanner(out)
	for acknowledged := 0; lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 5 && words[0] == "begin":
			inFlight[words[1]] = operation{words[2], words[3], words[4]}
		case len(words) == 3 && words[0] == "done":
			o := inFlight[words[1]]
			delete(inFlight, words[1])
			if changed := m.apply(o); changed != (words[2] == "ok") || !changed && words[2] != "refused" {
				t.Errorf("%v was answered with %s; the ledger says changed: %v", o, words[2], changed)
			}
			if acknowledged++; acknowledged == killAfter {
				time.AfterFunc(time.Duration(rand.IntN(50_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
			}
		default:
			t.Errorf("the ledger has a line %q", lines.Text())
		}
	}
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Fatalf("the writers ended with %v; want them killed", err)
	}
	return inFlight
}
