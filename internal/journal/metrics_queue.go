package journal

import "github.com/prometheus/client_golang/prometheus"

// queueCollectors returns the metrics of the queue and of the followers' positions.
func (j *Journal) queueCollectors() []prometheus.Collector {
	waits := func(of func(q *queue) int) func() float64 {
		return func() float64 {
			j.queue.mu.Lock()
			defer j.queue.mu.Unlock()
			return float64(of(&j.queue))
		}
	}
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "homeserver_journal_queue_writes", Help: "Writes that wait for the writer.",
		}, waits(func(q *queue) int { return len(q.writes) })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "homeserver_journal_turns_waiting", Help: "Writes that wait for the turn of their caller.",
		}, func() float64 { return float64(j.turns.Waiting()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "homeserver_journal_queue_bytes", Help: "Bytes of the writes that wait for the writer.",
		}, waits(func(q *queue) int { return q.bytes })),
		&followerCollector{j: j, position: prometheus.NewDesc("homeserver_follower_position",
			"How far background work has come in the journal, as far as this process knows.", []string{"follower"}, nil)},
	}
}

// followerCollector collects the position of each follower.
type followerCollector struct {
	j        *Journal
	position *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *followerCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- c.position
}

// Collect implements prometheus.Collector.
func (c *followerCollector) Collect(metrics chan<- prometheus.Metric) {
	for _, f := range c.j.followers {
		reached, _ := f.progress()
		metrics <- prometheus.MustNewConstMetric(c.position, prometheus.GaugeValue, float64(reached), f.name)
	}
}
