package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics counts requests. Its labels are bounded by the route table: paths and
// methods that are not in it share the label "unknown".
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	inFlight prometheus.Gauge
}

// newMetrics registers the metrics of HTTP.
func newMetrics(registry *prometheus.Registry) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeserver_http_requests_total",
			Help: "Requests answered, by endpoint, method and status (499 is a client that went away).",
		}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "homeserver_http_request_duration_seconds",
			Help:    "Time from a request to the end of its answer, long polls included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 30},
		}, []string{"route", "method"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeserver_http_response_bytes_total",
			Help: "Bytes of answers as they were sent, compressed or not, without headers.",
		}, []string{"route", "method"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "homeserver_http_requests_in_flight",
			Help: "Requests being answered at the moment, waiting long polls included.",
		}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.bytes, m.inFlight} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register HTTP metrics: %w", err)
		}
	}
	return m, nil
}

// outcome is a way in which requests end: an endpoint, a method and a status. The
// labels and texts of each are made once.
type outcome struct {
	status          int
	requests, bytes prometheus.Counter
	duration        prometheus.Observer
	log             slog.Handler // for lines that need not name the endpoint, the method and the status any more
}

// count counts one request.
func (o *outcome) count(bytes int64, duration time.Duration) {
	o.requests.Inc()
	o.duration.Observe(duration.Seconds())
	o.bytes.Add(float64(bytes))
}

type outcomeKey struct {
	route  *Route // nil: no such endpoint
	method string
	status int
}

// outcomes are all that there were. The route table bounds them.
type outcomes struct {
	metrics *metrics
	log     slog.Handler

	mu  sync.RWMutex
	all map[outcomeKey]*outcome
}

// of returns the outcome of a request.
func (o *outcomes) of(route *Route, method string, status int) *outcome {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodOptions:
	default:
		method = "unknown"
	}
	key := outcomeKey{route, method, status}
	o.mu.RLock()
	known := o.all[key]
	o.mu.RUnlock()
	if known != nil {
		return known
	}
	path, log := "unknown", o.log
	if route != nil {
		path = route.Path
		log = log.WithAttrs([]slog.Attr{slog.String("method", method), slog.String("route", path), slog.Int("status", status)})
	}
	known = &outcome{
		status: status, log: log, requests: o.metrics.requests.WithLabelValues(path, method, strconv.Itoa(status)),
		duration: o.metrics.duration.WithLabelValues(path, method), bytes: o.metrics.bytes.WithLabelValues(path, method),
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all[key] = known
	return known
}

// MetricsHandler serves everything in the registry in Prometheus' format. It is
// meant for a listener of its own, since it has no access control.
func (e *Engine) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(e.registry, promhttp.HandlerOpts{})
}
