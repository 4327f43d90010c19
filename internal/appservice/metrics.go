package appservice

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/appservice/registration"
)

// calls are the metrics of calls to services.
type calls struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newCalls(all registration.List) *calls {
	c := &calls{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeserver_app_service_calls_total",
			Help: "Calls to application services, by what they were and what came of them: answered, refused (another status than 2xx), timeout or failed.",
		}, []string{"app_service", "call", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "homeserver_app_service_call_seconds",
			Help:    "Time from a call to an application service to its answer.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"app_service"}),
	}
	for _, r := range all {
		c.total.WithLabelValues(r.ID, callPing, "answered")
		c.seconds.WithLabelValues(r.ID)
	}
	return c
}

func (c *calls) count(service, call string, answer Answer, err error, took time.Duration) {
	outcome := "answered"
	switch {
	case timedOut(err):
		outcome = "timeout"
	case err != nil:
		outcome = "failed"
	case !answer.OK():
		outcome = "refused"
	}
	c.total.WithLabelValues(service, call, outcome).Inc()
	c.seconds.WithLabelValues(service).Observe(took.Seconds())
}
