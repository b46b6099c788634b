package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/backends"
	"hearth/gateway/client"
)

// checkScale is how much longer than usual the long tests are: CHECK_SCALE, 1
// by default.
func checkScale() int {
	if n, err := strconv.Atoi(os.Getenv("CHECK_SCALE")); err == nil {
		return max(1, n)
	}
	return 1
}

// ledger is what one writer knows of the things that only it changes.
type ledger struct {
	acknowledged map[string]string // thing to version; what is not in it does not exist
	inFlight     *change
}

// change is an operation that was sent and not yet answered.
type change struct{ thing, after string } // after is empty for a removal

// TestStateAfterAKillIsWhatWasAcknowledged kills the server with SIGKILL while
// eight writers change functions and secrets. What comes back must be exactly
// what was acknowledged, but for the one operation that each writer had in
// flight, which may or may not have happened.
func TestStateAfterAKillIsWhatWasAcknowledged(t *testing.T) {
	const writers = 8
	rounds := min(200, 50*checkScale())
	if raceEnabled {
		rounds = 5 // the race detector has nothing to see in a process that is killed
	}
	binary, err := exec.LookPath("hearth")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ledgers := make([]*ledger, writers)
	for i := range ledgers {
		ledgers[i] = &ledger{acknowledged: map[string]string{}}
	}
	flown, operations, slowest := 0, 0, time.Duration(0)
	for round := range rounds + 1 {
		began := time.Now()
		s, err := startServer(binary, dir, os.Environ())
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		slowest = max(slowest, time.Since(began))
		c, err := client.New(s.url, "admin", s.password())
		if err != nil {
			t.Fatal(err)
		}
		compare(t, round, c, ledgers)
		if strings.Contains(s.stderr.String(), "quarantine") {
			t.Errorf("round %d: a file was torn:\n%s", round, s.stderr.String())
		}
		if t.Failed() || round == rounds {
			s.kill()
			break
		}
		n := writeUntilKilled(t, s, c, ledgers)
		operations += n
		for _, l := range ledgers {
			if l.inFlight != nil {
				flown++
				break
			}
		}
	}
	t.Logf("%d kills, %d with an operation in flight, %d operations acknowledged, slowest start %s", rounds, flown, operations, slowest.Round(time.Millisecond))
	if rounds >= 50 && flown*5 < rounds*4 {
		t.Errorf("only %d of %d kills met an operation in flight: the test proves too little", flown, rounds)
	}
}

// writeUntilKilled lets all writers change things until the server is killed
// at some time after a random acknowledgement; it gives how many there were.
func writeUntilKilled(t *testing.T, s *instance, c *client.Client, ledgers []*ledger) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var acknowledged atomic.Int64
	var killing atomic.Bool
	fatal := 1 + rand.Int64N(60)
	reached := make(chan struct{}, 1)
	var group sync.WaitGroup
	for i, l := range ledgers {
		group.Go(func() {
			for n := 0; ; n++ {
				err := l.change(ctx, c, i)
				if err != nil {
					if !killing.Load() {
						t.Errorf("writer %d: %v", i, err)
					}
					return
				}
				if acknowledged.Add(1) == fatal {
					reached <- struct{}{}
				}
			}
		})
	}
	select {
	case <-reached:
	case <-ctx.Done():
		t.Errorf("%d acknowledgements in %s, waiting for %d", acknowledged.Load(), patience, fatal)
	}
	time.Sleep(rand.N(50 * time.Millisecond)) // the moment is what is random here
	killing.Store(true)
	s.kill()
	cancel()
	group.Wait()
	return int(acknowledged.Load())
}

// change makes one random operation and notes its acknowledgement.
func (l *ledger) change(ctx context.Context, c *client.Client, writer int) error {
	thing := fmt.Sprintf("function w%d-%d", writer, rand.N(3))
	if rand.N(3) == 0 {
		thing = fmt.Sprintf("secret w%d-%d", writer, rand.N(2))
	}
	before, there := l.acknowledged[thing]
	after := strconv.FormatUint(rand.Uint64(), 36)
	if there && rand.N(4) == 0 {
		after = ""
	}
	l.inFlight = &change{thing, after}
	kind, name, _ := strings.Cut(thing, " ")
	var err error
	if kind == "function" {
		err = changeFunction(ctx, c, name, before, after)
	} else {
		err = changeSecret(ctx, c, name, before, after)
	}
	if err != nil {
		return fmt.Errorf("%s from %q to %q: %w", thing, before, after, err)
	}
	l.settle(after)
	return nil
}

// settle notes how the operation in flight went.
func (l *ledger) settle(now string) {
	if now == "" {
		delete(l.acknowledged, l.inFlight.thing)
	} else {
		l.acknowledged[l.inFlight.thing] = now
	}
	l.inFlight = nil
}

func changeFunction(ctx context.Context, c *client.Client, name, before, after string) error {
	d := backends.FunctionDeployment{Service: name, Image: "store/hello", EnvVars: map[string]string{"version": after}}
	switch {
	case after == "":
		return c.Delete(ctx, backends.Key{Namespace: backends.DefaultNamespace, Name: name})
	case before == "":
		return c.Create(ctx, d)
	}
	return c.Update(ctx, d)
}

func changeSecret(ctx context.Context, c *client.Client, name, before, after string) error {
	secret := backends.Secret{Namespace: backends.DefaultNamespace, Name: name, Value: []byte(after)}
	switch {
	case after == "":
		return c.DeleteSecret(ctx, secret.Namespace, name)
	case before == "":
		return c.CreateSecret(ctx, secret)
	}
	return c.UpdateSecret(ctx, secret)
}

// compare holds the state that came back against the ledgers, and settles
// what was in flight.
func compare(t *testing.T, round int, c *client.Client, ledgers []*ledger) {
	t.Helper()
	found, err := readState(t.Context(), c)
	if err != nil {
		t.Errorf("round %d: %v", round, err)
		return
	}
	for i, l := range ledgers {
		if l.inFlight != nil {
			before, now := l.acknowledged[l.inFlight.thing], found[l.inFlight.thing]
			if now != before && now != l.inFlight.after {
				t.Errorf("round %d: writer %d: %s is %q, want %q or, in flight, %q", round, i, l.inFlight.thing, now, before, l.inFlight.after)
			}
			l.settle(now)
		}
		for thing, version := range l.acknowledged {
			if found[thing] != version {
				t.Errorf("round %d: writer %d: %s is %q, acknowledged was %q", round, i, thing, found[thing], version)
			}
			delete(found, thing)
		}
	}
	if len(found) > 0 {
		t.Errorf("round %d: nobody made %v", round, found)
	}
}

// readState reads the versions of all functions and secrets. The value of a
// secret is seen by a function that prints it.
func readState(ctx context.Context, c *client.Client) (map[string]string, error) {
	state := map[string]string{}
	functions, err := c.List(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, f := range functions {
		if f.AvailableReplicas != 1 {
			return nil, fmt.Errorf("function %s has %d replicas available: %s", f.Name, f.AvailableReplicas, f.Problem)
		}
		state["function "+f.Name] = f.EnvVars["version"]
	}
	secrets, err := c.Secrets(ctx, "")
	if err != nil || len(secrets) == 0 {
		return state, err
	}
	values, err := readSecrets(ctx, c, secrets)
	for name, value := range values {
		state["secret "+name] = value
	}
	return state, err
}

// readSecrets deploys a function with all secrets, lets it print them, and
// removes it.
func readSecrets(ctx context.Context, c *client.Client, names []string) (values map[string]string, err error) {
	key := backends.Key{Namespace: backends.DefaultNamespace, Name: "reader"}
	values = map[string]string{}
	for _, name := range names {
		d := backends.FunctionDeployment{Service: key.Name, Image: "store/cat", EnvProcess: "cat /var/openfaas/secrets/" + name, Secrets: []string{name}}
		if _, err := c.Deploy(ctx, d); err != nil {
			return nil, err
		}
		answer, err := c.Invoke(ctx, client.Call{Key: key})
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != 200 {
			return nil, fmt.Errorf("read secret %s: %s %q %w", name, answer.Status, text, err)
		}
		values[name] = string(text)
	}
	return values, c.Delete(ctx, key)
}
