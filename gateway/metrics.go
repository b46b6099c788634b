package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hearth/gateway/http1"
)

// metrics collects what the gateway knows about calls when it is asked to:
// OpenFaaS' names with their labels, and a few of ours. Calls only count into
// their route.
type metrics struct {
	table *table
	total gatewayCounts

	invocations, started, seconds, inflight, waiting *prometheus.Desc
	replicas, ready, least, rejections, truncated    *prometheus.Desc
	refused, wakes                                   *prometheus.Desc
}

// gatewayCounts is what is counted for no single function.
type gatewayCounts struct {
	inflight   atomic.Int64
	overloaded atomic.Uint64 // calls refused because the process has too many
	truncated  atomic.Uint64 // answers that their replica did not end
	full       atomic.Uint64 // calls refused because their function's queue is full
	wakes      atomic.Uint64 // functions asked up from zero
	wakeFaults atomic.Uint64 // times a backend refused to

	mu         sync.Mutex
	rejections map[string]uint64 // by their reason
}

// rejected counts a request that the guard stopped.
func (c *gatewayCounts) rejected(r *http1.Rejection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rejections == nil {
		c.rejections = map[string]uint64{}
	}
	c.rejections[r.Reason]++
}

func newMetrics(t *table) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	const function, code = "function_name", "code"
	return &metrics{
		table:       t,
		invocations: desc("gateway_function_invocation_total", "Calls that ended.", function, code),
		started:     desc("gateway_function_invocation_started", "Calls that began.", function),
		seconds:     desc("gateway_functions_seconds", "Seconds from a call's begin to its end.", function, code),
		inflight:    desc("gateway_function_invocation_inflight", "Calls that have begun and not ended.", function),
		waiting:     desc("hearth_function_waiting", "Calls that wait for a replica or for one of the calls that may run at once.", function),
		replicas:    desc("gateway_service_count", "Replicas that are wanted.", function),
		ready:       desc("gateway_service_ready_count", "Replicas that can answer.", function),
		least:       desc("gateway_service_min", "Replicas that the function has at least when it is not at zero.", function),
		refused:     desc("hearth_calls_refused_total", "Calls that were refused without running.", "reason"),
		rejections:  desc("hearth_requests_rejected_total", "Requests that could be read in more than one way, or in none.", "reason"),
		truncated:   desc("hearth_answers_truncated_total", "Answers that a replica began and did not end; their clients' connections were closed."),
		wakes:       desc("hearth_wakes_total", "Times a function at zero replicas was asked up.", "result"),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.invocations, m.started, m.seconds, m.inflight, m.waiting, m.replicas, m.ready, m.least, m.refused, m.wakes, m.rejections, m.truncated} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	for name, r := range *m.table.routes.Load() {
		function := r.key.String()
		if name != function {
			continue // the short name of a function in the default namespace
		}
		t := r.target.Load()
		counter(m.started, r.started.Load(), function)
		gauge(m.inflight, int(r.inflight.Load()), function)
		gauge(m.waiting, int(r.gate.queued.Load()+r.waking.Load()), function)
		gauge(m.replicas, t.Status.Replicas, function)
		gauge(m.ready, t.Status.Available, function)
		gauge(m.least, t.scale.Min, function)
		for _, o := range r.list() {
			count, sum, upTo := o.histogram()
			counter(m.invocations, count, function, o.label())
			ch <- prometheus.MustNewConstHistogram(m.seconds, count, sum, upTo, function, o.label())
		}
	}
	counter(m.refused, m.total.overloaded.Load(), "overload")
	counter(m.refused, m.total.full.Load(), "queue full")
	m.total.mu.Lock()
	for reason, n := range m.total.rejections {
		counter(m.rejections, n, reason)
	}
	m.total.mu.Unlock()
	counter(m.truncated, m.total.truncated.Load())
	counter(m.wakes, m.total.wakes.Load(), "accepted")
	counter(m.wakes, m.total.wakeFaults.Load(), "failed")
}

// metricsHandler answers on the second listener: /metrics, /healthz as long as
// the process lives, and /readyz as long as it wants calls.
func (g *Gateway) metricsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g.cfg.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, req *http.Request) {
		var err error
		switch {
		case g.draining.Load():
			err = errors.New("stopping")
		case g.cfg.Ready != nil:
			err = g.cfg.Ready(req.Context())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}
