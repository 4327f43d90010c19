package journal

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	entries prometheus.Counter
	groups  prometheus.Histogram
	seconds prometheus.Histogram
	refused prometheus.Counter
	split   prometheus.Counter
	others  prometheus.Counter
	stale   prometheus.Counter
}

func newMetrics() *metrics {
	return &metrics{
		entries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeserver_journal_entries_total", Help: "Entries committed by this process.",
		}),
		groups: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "homeserver_journal_group_entries", Help: "Entries in one group commit.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "homeserver_journal_group_seconds", Help: "Time of one group commit.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 14),
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeserver_journal_refused_total", Help: "Writes refused because the queue was full.",
		}),
		split: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeserver_journal_split_groups_total", Help: "Groups that failed and were tried one by one.",
		}),
		others: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeserver_journal_other_entries_total", Help: "Entries of other processes that were read into memory.",
		}),
		stale: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeserver_journal_stale_writes_total", Help: "Writes that were built anew because another process came first.",
		}),
	}
}

func (m *metrics) observe(entries int, took time.Duration) {
	m.entries.Add(float64(entries))
	m.groups.Observe(float64(entries))
	m.seconds.Observe(took.Seconds())
}

// Collectors are the journal's metrics, to be registered once.
func (j *Journal) Collectors() []prometheus.Collector {
	m := j.metrics
	return append(j.queueCollectors(),
		m.entries, m.groups, m.seconds, m.refused, m.split, m.others, m.stale,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "homeserver_journal_position", Help: "The newest committed position.",
		}, func() float64 { return float64(j.Position()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "homeserver_journal_window_bytes", Help: "Bytes in the live window.",
		}, func() float64 {
			j.mu.RLock()
			defer j.mu.RUnlock()
			return float64(j.window.bytes)
		}),
	)
}
