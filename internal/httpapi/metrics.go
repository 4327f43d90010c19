package httpapi

import (
	"fmt"
	"net/http"
	"strconv"
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

func (m *metrics) observe(x *exchange, method string, status int, duration time.Duration) {
	route := "unknown"
	if x.route != nil {
		route = x.route.Path
	}
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodOptions:
	default:
		method = "unknown"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(route, method).Observe(duration.Seconds())
	m.bytes.WithLabelValues(route, method).Add(float64(x.bytes))
}

// MetricsHandler serves everything in the registry in Prometheus' format. It is
// meant for a listener of its own, since it has no access control.
func (e *Engine) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(e.registry, promhttp.HandlerOpts{})
}
