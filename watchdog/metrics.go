package watchdog

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are those of OpenFaaS' watchdogs.
type metrics struct {
	all      *prometheus.Registry
	total    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inflight prometheus.Gauge
}

func newMetrics() *metrics {
	labels := []string{"code", "method"}
	m := &metrics{
		all:      prometheus.NewRegistry(),
		total:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total", Help: "Requests that were answered."}, labels),
		seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "http_request_duration_seconds", Help: "Time to the end of the answer."}, labels),
		inflight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "http_requests_in_flight", Help: "Requests that are being answered."}),
	}
	m.all.MustRegister(m.total, m.seconds, m.inflight, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// observe counts one request. Methods that nobody knows share one value.
func (m *metrics) observe(method string, status int, took time.Duration) {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		method = strings.ToLower(method)
	default:
		method = "unknown"
	}
	code := strconv.Itoa(status)
	m.total.WithLabelValues(code, method).Inc()
	m.seconds.WithLabelValues(code, method).Observe(took.Seconds())
}

// server serves /metrics and nothing else.
func (m *metrics) server() *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.all, promhttp.HandlerOpts{}))
	const limit = 5 * time.Second
	return &http.Server{Handler: mux, ReadTimeout: limit, WriteTimeout: limit, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
}
