package httppusher

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	requests               *prometheus.CounterVec
	sent, failed, rejected prometheus.Counter
	waiting                prometheus.Gauge
	delay                  prometheus.Histogram
}

func newMetrics() *metrics {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "homeserver_push_requests_total", Help: "Notifications for push gateways, by what has become of them.",
	}, []string{"outcome"})
	return &metrics{
		requests: requests,
		sent:     requests.WithLabelValues("sent"),
		failed:   requests.WithLabelValues("failed"),
		rejected: requests.WithLabelValues("rejected"),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "homeserver_push_waiting_pushers", Help: "Pushers that something is to be sent to now.",
		}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "homeserver_push_delay_seconds", Help: "Time from an event to the answer of the push gateway.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		}),
	}
}

// Collectors are the metrics of push, to be registered once.
func (s *Service) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.requests, s.metrics.waiting, s.metrics.delay}
}
