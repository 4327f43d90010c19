package policy

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/rooms"
)

type metrics struct {
	refusals *prometheus.CounterVec
	rules    *prometheus.GaugeVec
}

func newMetrics(dryRun bool) *metrics {
	m := &metrics{
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeserver_policy_refusals_total",
			Help: "What was refused because of policy lists, or would have been but for the dry run.",
		}, []string{"act", "dry_run"}),
		rules: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "homeserver_policy_rules", Help: "Rules of policy lists, by whether they are applied.",
		}, []string{"applied"}),
	}
	for _, act := range []rooms.ActKind{rooms.ToJoin, rooms.ToKnock, rooms.ToInvite, rooms.ToCreate, rooms.ToAlias, rooms.ToPublish, toRegister} {
		m.refusals.WithLabelValues(string(act), strconv.FormatBool(dryRun))
	}
	for _, applied := range []string{"true", "false"} {
		m.rules.WithLabelValues(applied)
	}
	return m
}

func (m *metrics) refused(act rooms.ActKind, dryRun bool) {
	m.refusals.WithLabelValues(string(act), strconv.FormatBool(dryRun)).Inc()
}

// Collectors are the metrics of policy lists, to be registered once.
func (s *Service) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.refusals, s.metrics.rules}
}

// report shows how many rules there are. The lock is held.
func (s *Service) report() {
	t := s.table
	s.metrics.rules.WithLabelValues("true").Set(float64(t.applied))
	s.metrics.rules.WithLabelValues("false").Set(float64(len(t.byPlace) - t.applied + t.leftOut))
}
