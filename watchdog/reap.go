package watchdog

import (
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// reaper waits for processes that functions left behind and that became ours,
// so that none stays a zombie. Those that somebody here waits for are left to
// them.
type reaper struct {
	mu  sync.Mutex
	own map[int]*exec.Cmd
}

// start starts a process that wait will be called for.
func (w *Watchdog) start(cmd *exec.Cmd) error {
	w.reaper.mu.Lock() // until it is known as ours
	defer w.reaper.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	if w.reaper.own == nil {
		w.reaper.own = map[int]*exec.Cmd{}
	}
	w.reaper.own[cmd.Process.Pid] = cmd
	return nil
}

// wait waits for the end of a process.
func (w *Watchdog) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	w.reaper.mu.Lock()
	if w.reaper.own[cmd.Process.Pid] == cmd { // not one that has got the number since
		delete(w.reaper.own, cmd.Process.Pid)
	}
	w.reaper.mu.Unlock()
	return err
}

const (
	prSetChildSubreaper = 36 // of prctl(2)
	idAll               = 0  // P_ALL of waitid(2)
	reapEvery           = time.Second
)

// begin reaps until the function that it gives is called.
func (r *reaper) begin(log *logger) (end func()) {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 && os.Getpid() != 1 {
		log.printf("processes that functions leave behind are not waited for: %v", errno)
	}
	died, stop, ended := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(died, syscall.SIGCHLD)
	go func() {
		defer close(ended)
		tick := time.NewTicker(reapEvery) // a process of somebody else may hide others
		defer tick.Stop()
		for {
			select {
			case <-died:
			case <-tick.C:
			case <-stop:
				return
			}
			for r.reapOne() {
			}
		}
	}()
	return func() {
		signal.Stop(died)
		close(stop)
		<-ended
	}
}

// reapOne waits for one process that has ended and is nobody's. It reports
// false if there is none to be seen.
func (r *reaper) reapOne() bool {
	var info [128]byte // siginfo_t
	_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, idAll, 0, uintptr(unsafe.Pointer(&info)), syscall.WEXITED|syscall.WNOHANG|syscall.WNOWAIT, 0, 0)
	pid := int(*(*int32)(unsafe.Pointer(&info[pidOffset])))
	if errno != 0 || pid == 0 {
		return false
	}
	r.mu.Lock()
	_, own := r.own[pid]
	r.mu.Unlock()
	if own {
		return false
	}
	_, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	return err == nil
}

// pidOffset is where si_pid is: after three ints, aligned to a pointer.
const pidOffset = 12 + (unsafe.Sizeof(uintptr(0)) - 4)
