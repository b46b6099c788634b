package inproc

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hearth/runtime"
)

// counters are what the Host counts itself.
type counters struct {
	loads, loadsFailed atomic.Int64
	loadTime           atomic.Int64 // nanoseconds of loads that went well
}

func (c *counters) loaded(took time.Duration, err error) {
	if err != nil {
		c.loadsFailed.Add(1)
		return
	}
	c.loads.Add(1)
	c.loadTime.Add(int64(took))
}

// metrics are the descriptions of what the Host exports. A function is a
// label only while it is deployed, and once it has been loaded.
type metrics struct {
	host *Host

	instances, idle, made, memory, busy    *prometheus.Desc // by function
	failures                               *prometheus.Desc // by function and reason
	loaded, loads, failed, loadTime        *prometheus.Desc
	modules, moduleBytes, code, logs, lost *prometheus.Desc
}

func newMetrics(h *Host) *metrics {
	global := func(name, help string) *prometheus.Desc { return prometheus.NewDesc("hearth_"+name, help, nil, nil) }
	byFunction := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("hearth_function_"+name, help, []string{"function_name"}, nil)
	}
	return &metrics{
		host:      h,
		instances: byFunction("instances", "Instances of the function's module now."),
		idle:      byFunction("instances_idle", "Of those, the ones that no call uses."),
		made:      byFunction("instances_made_total", "Instances made since the function was deployed or the process started."),
		memory:    byFunction("memory_bytes", "Memory of the function's instances and of the image they start from."),
		busy:      byFunction("busy_seconds_total", "Time for which calls had the CPU, or waited for nothing but the CPU."),
		failures: prometheus.NewDesc("hearth_function_failures_total", "Calls that the function's module did not answer, by reason.",
			[]string{"function_name", "reason"}, nil),
		loaded:      global("functions_loaded", "Functions whose module is in memory."),
		loads:       global("module_loads_total", "Modules loaded into memory."),
		failed:      global("module_load_failures_total", "Loads that failed."),
		loadTime:    global("module_load_seconds_total", "Time that loads took."),
		modules:     global("modules_stored", "Modules on the disk."),
		moduleBytes: global("modules_stored_bytes", "Bytes of the modules on the disk."),
		code:        global("compiled_code_bytes", "Bytes of compiled code on the disk, when last looked at."),
		logs:        global("function_logs_bytes", "Bytes of all functions' logs on the disk."),
		lost:        global("function_log_lines_dropped_total", "Lines that functions wrote faster than they may."),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.instances, m.idle, m.made, m.memory, m.busy, m.failures, m.loaded, m.loads, m.failed, m.loadTime,
		m.modules, m.moduleBytes, m.code, m.logs, m.lost} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	h, loaded := m.host, 0
	for name, s := range h.stats() {
		if s.loaded {
			loaded++
		}
		gauge(m.instances, float64(s.Instances), name)
		gauge(m.idle, float64(s.Idle), name)
		counter(m.made, float64(s.Made), name)
		gauge(m.memory, float64(s.Memory), name)
		counter(m.busy, s.Busy.Seconds(), name)
		for reason, n := range s.Failures {
			if n > 0 {
				counter(m.failures, float64(n), name, runtime.Failure(reason).String())
			}
		}
	}
	gauge(m.loaded, float64(loaded))
	counter(m.loads, float64(h.counters.loads.Load()))
	counter(m.failed, float64(h.counters.loadsFailed.Load()))
	counter(m.loadTime, time.Duration(h.counters.loadTime.Load()).Seconds())
	stored, bytes := h.modules.stats()
	gauge(m.modules, float64(stored))
	gauge(m.moduleBytes, float64(bytes))
	gauge(m.code, float64(h.codeBytes.Load()))
	gauge(m.logs, float64(h.logs.size.Load()))
	counter(m.lost, float64(h.logs.dropped.Load()))
}

// functionStats is what a function has done under all its generations here.
type functionStats struct {
	runtime.Stats
	loaded bool
}

// stats gives what each function that was ever loaded has done, by name.
func (h *Host) stats() map[string]functionStats {
	all := map[string]functionStats{}
	for _, b := range h.backends() {
		for _, v := range b.tables() {
			v.stats(all)
		}
	}
	return all
}

func (v *view) stats(all map[string]functionStats) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for key, f := range v.functions {
		s := functionStats{f.stats(), f.current.Load() != nil}
		if old, ok := all[key.String()]; ok {
			s.Stats, s.loaded = add(s.Stats, old.Stats), s.loaded || old.loaded
		}
		if s.Made > 0 || s.loaded {
			all[key.String()] = s
		}
	}
}

// stats gives what the function has done and holds.
func (f *function) stats() runtime.Stats {
	if g := f.current.Load(); g != nil {
		return add(f.past, g.module.Stats())
	}
	return f.past
}

// add sums what two modules have done and hold.
func add(a, b runtime.Stats) runtime.Stats {
	for i := range a.Failures {
		a.Failures[i] += b.Failures[i]
	}
	return runtime.Stats{
		Calls: a.Calls + b.Calls, Failed: a.Failed + b.Failed, Failures: a.Failures, InFlight: a.InFlight + b.InFlight,
		Made: a.Made + b.Made, Instances: a.Instances + b.Instances, Idle: a.Idle + b.Idle, Image: a.Image + b.Image,
		Memory: a.Memory + b.Memory, Busy: a.Busy + b.Busy,
	}
}

// done keeps what counts of a module that is closed.
func done(s runtime.Stats) runtime.Stats {
	return runtime.Stats{Calls: s.Calls, Failed: s.Failed, Failures: s.Failures, Made: s.Made, Busy: s.Busy}
}
