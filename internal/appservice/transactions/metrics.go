package transactions

import (
	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/journal"
)

type metrics struct {
	transactions    *prometheus.CounterVec
	events          *prometheus.CounterVec
	behind, failing *prometheus.GaugeVec
}

func newMetrics() *metrics {
	const service = "app_service"
	return &metrics{
		transactions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeserver_app_service_transactions_total", Help: "Attempts to send a transaction to an application service, by what has become of them.",
		}, []string{service, "outcome"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeserver_app_service_events_total", Help: "Events in transactions that application services have acknowledged.",
		}, []string{service}),
		behind: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "homeserver_app_service_behind_entries", Help: "How far an application service is behind the journal, in entries, of which most may not concern it.",
		}, []string{service}),
		failing: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "homeserver_app_service_failing", Help: "1 while an application service does not take what it is sent.",
		}, []string{service}),
	}
}

// know has all metrics of a service exist before anything happens.
func (m *metrics) know(id string) {
	m.transactions.WithLabelValues(id, "sent")
	m.transactions.WithLabelValues(id, "failed")
	m.events.WithLabelValues(id)
	m.stands(id, 0, false)
}

func (m *metrics) sent(id string, t *transaction) {
	m.transactions.WithLabelValues(id, "sent").Inc()
	m.events.WithLabelValues(id).Add(float64(t.events))
}

func (m *metrics) failed(id string) { m.transactions.WithLabelValues(id, "failed").Inc() }

func (m *metrics) stands(id string, behind journal.Position, failing bool) {
	m.behind.WithLabelValues(id).Set(float64(behind))
	if failing {
		m.failing.WithLabelValues(id).Set(1)
	} else {
		m.failing.WithLabelValues(id).Set(0)
	}
}

// Collectors returns the metrics, to be registered once.
func (s *Service) Collectors() []prometheus.Collector {
	m := s.metrics
	return []prometheus.Collector{m.transactions, m.events, m.behind, m.failing}
}
