package server

import (
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"homeserver/internal/cache"
)

// newRegistry returns a registry with the metrics of the process, of the connections to
// the database and of the parts of the server, and the inventory.
func (s *Server) newRegistry(c *core) (*prometheus.Registry, error) {
	on := c.services
	all := slices.Concat(
		[]prometheus.Collector{
			collectors.NewGoCollector(),
			collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
			newPoolCollector(c.pool),
			newCacheCollector(on.parts.caches()),
			newBuildInfo(),
			newInventory(on.auth, on.rooms.Timeline, on.media, s.log),
		},
		newFreeDisk(c.cfg), s.connections.Collectors(), on.parts.collectors(),
	)
	registry := prometheus.NewRegistry()
	for _, c := range all {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return registry, nil
}

// poolCollector collects the metrics of the connections to the database.
type poolCollector struct {
	pool                                  *pgxpool.Pool
	connections, most, taken, waits, time *prometheus.Desc
}

func newPoolCollector(pool *pgxpool.Pool) *poolCollector {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("homeserver_database_"+name, help, labels, nil)
	}
	return &poolCollector{
		pool:        pool,
		connections: describe("connections", "Connections to the database: in use, idle, or being made.", "state"),
		most:        describe("connections_max", "The most connections that the pool opens."),
		taken:       describe("acquires_total", "How often a connection was taken from the pool."),
		waits:       describe("acquire_waits_total", "How often a connection had to be waited for."),
		time:        describe("acquire_wait_seconds_total", "How long all together have waited for connections."),
	}
}

// Describe implements prometheus.Collector.
func (c *poolCollector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.connections, c.most, c.taken, c.waits, c.time} {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector.
func (c *poolCollector) Collect(metrics chan<- prometheus.Metric) {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	add := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	stat := c.pool.Stat()
	add(c.connections, gauge, float64(stat.AcquiredConns()), "in_use")
	add(c.connections, gauge, float64(stat.IdleConns()), "idle")
	add(c.connections, gauge, float64(stat.ConstructingConns()), "connecting")
	add(c.most, gauge, float64(stat.MaxConns()))
	add(c.taken, counter, float64(stat.AcquireCount()))
	add(c.waits, counter, float64(stat.EmptyAcquireCount()))
	add(c.time, counter, stat.EmptyAcquireWaitTime().Seconds())
}

// cacheCollector collects the use of the caches.
type cacheCollector struct {
	caches                       cache.Caches
	entries, bytes, hits, misses *prometheus.Desc
}

func newCacheCollector(caches cache.Caches) *cacheCollector {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("homeserver_cache_"+name, help, []string{"cache"}, nil)
	}
	return &cacheCollector{
		caches:  caches,
		entries: describe("entries", "What a cache holds."),
		bytes:   describe("bytes", "About how much memory that takes."),
		hits:    describe("hits_total", "How often a cache had what was asked for."),
		misses:  describe("misses_total", "How often a cache did not have what was asked for."),
	}
}

// Describe implements prometheus.Collector.
func (c *cacheCollector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.entries, c.bytes, c.hits, c.misses} {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector.
func (c *cacheCollector) Collect(metrics chan<- prometheus.Metric) {
	for name, stats := range c.caches {
		s := stats()
		metrics <- prometheus.MustNewConstMetric(c.entries, prometheus.GaugeValue, float64(s.Entries), name)
		metrics <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(s.Bytes), name)
		metrics <- prometheus.MustNewConstMetric(c.hits, prometheus.CounterValue, float64(s.Hits), name)
		metrics <- prometheus.MustNewConstMetric(c.misses, prometheus.CounterValue, float64(s.Misses), name)
	}
}
