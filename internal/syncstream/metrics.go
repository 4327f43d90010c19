package syncstream

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/cache"
)

// Labels of answers: whether there was a token, and whether the request had to wait;
// and whether all events were in the live window.
const (
	kindInitial, kindIncremental, kindWaited = "initial", "incremental", "waited"
	fromWindow, fromDatabase                 = "window", "database"
)

type metrics struct {
	waiting prometheus.Gauge
	seconds *prometheus.HistogramVec
}

func newMetrics() *metrics {
	m := &metrics{
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "homeserver_sync_waiting", Help: "Requests that wait for something new.",
		}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "homeserver_sync_seconds", Help: "Time to work out an answer of /sync, without the waiting.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"kind", "source"}),
	}
	m.seconds.WithLabelValues(kindInitial, fromDatabase)
	for _, kind := range []string{kindIncremental, kindWaited} {
		for _, source := range []string{fromWindow, fromDatabase} {
			m.seconds.WithLabelValues(kind, source)
		}
	}
	return m
}

func (m *metrics) observe(p *plan, waited bool, took time.Duration) {
	kind, source := kindIncremental, fromDatabase
	switch {
	case p.initial:
		kind = kindInitial
	case waited:
		kind = kindWaited
	}
	if p.inWindow() {
		source = fromWindow
	}
	m.seconds.WithLabelValues(kind, source).Observe(took.Seconds())
}

// inWindow reports whether everything that has happened stood in the live window.
func (p *plan) inWindow() bool {
	if !p.covered {
		return false
	}
	for _, r := range p.rooms {
		if !r.inWindow {
			return false
		}
	}
	return true
}

// Collectors are the metrics of /sync, to be registered once.
func (s *Service) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.waiting, s.metrics.seconds}
}

// Caches reports how the caches are used.
func (s *Service) Caches() cache.Caches {
	return cache.Caches{
		"viewers": s.viewers.stats,
		"filters": s.filters.Stats, "inline_filters": s.inline.parsed.Stats, "inline_event_filters": s.inlineEvents.parsed.Stats,
		"members":    s.lazy.devices.Stats,
		"room_facts": s.facts.known.Stats, "room_labels": s.labels.known.Stats, "sliding_connections": s.connections.known.Stats,
	}
}
