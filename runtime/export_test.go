package runtime

import (
	"context"
	"net"
	"net/netip"
)

// SetCompileBudget bounds the CPU time of compile children, so that tests need not wait for the real budget.
func (e *Engine) SetCompileBudget(cpuSeconds uint64) { e.compiler.order.CPUSeconds = cpuSeconds }

// RunFromStart makes every call run its program from the start. It must come before the first call.
func (m *Module) RunFromStart() { m.pool.runFromStart() }

// Resumes tells whether calls resume the program where it was frozen. No call may be in flight.
func (m *Module) Resumes() bool {
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	for _, w := range m.pool.idle {
		if w.call.frozen == nil {
			return false
		}
	}
	return len(m.pool.idle) > 0
}

// CheckScale multiplies the rounds of long tests.
func CheckScale() int { return checkScale() }

// AwaitTasks waits for what the module does in the background.
func (m *Module) AwaitTasks() { m.tasks.Wait() }

// FrozenEarly tells whether the program is frozen after its runtime has started.
func (m *Module) FrozenEarly() bool {
	early, _ := m.pool.resumption()
	return early == runtimes
}

// RestorePaths are the names of the ways of restoring memory.
func RestorePaths() (names []string) {
	for _, p := range []restorePath{restoreScan, restoreWalk, restoreMadvise, restoreCopy} {
		names = append(names, p.String())
	}
	return names
}

// ForceRestore makes an engine without modules use one way of restoring memory.
func (e *Engine) ForceRestore(name string) error {
	for i, n := range RestorePaths() {
		if n != name {
			continue
		}
		r, err := newRestorer(restoreScan + restorePath(i))
		if err != nil {
			return err
		}
		e.restorer.close()
		e.restorer = r
	}
	return nil
}

// SetNetwork makes guests that call out look names up in hosts, and counts the addresses that are dialled. It must come before Load.
func (e *Engine) SetNetwork(resolve func(host string) []string, dialled func(address string)) {
	dial := e.network.dial
	e.network = network{
		resolve: func(_ context.Context, host string) (addrs []netip.Addr, err error) {
			for _, a := range resolve(host) {
				addrs = append(addrs, netip.MustParseAddr(a))
			}
			return addrs, nil
		},
		dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled(address)
			return dial(ctx, network, address)
		},
	}
}
