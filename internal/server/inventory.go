package server

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/auth"
	"homeserver/internal/auth/account"
	"homeserver/internal/media"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/server/buildinfo"
	"homeserver/internal/server/config"
	"homeserver/internal/server/disk"
)

const (
	// inventoryAge is how old counts of the database may be. To count is to read whole tables.
	inventoryAge = 5 * time.Minute
	// inventoryTimeout bounds the counting, below the patience of Prometheus.
	inventoryTimeout = 5 * time.Second
)

// inventory collects what the server has: accounts, rooms, files and room on the disk.
// It counts at a scrape, and not more often than each inventoryAge.
type inventory struct {
	accounts *auth.Service
	rooms    *timeline.Store
	media    *media.Service
	log      *slog.Logger

	accountsDesc, roomsDesc, mediaDesc *prometheus.Desc

	mu      sync.Mutex // guards the rest, and keeps two from counting at once
	counted time.Time
	known   bool // false until all was counted once
	people  account.Counts
	roomsN  int64
	bytes   int64
}

func newInventory(accounts *auth.Service, rooms *timeline.Store, files *media.Service, log *slog.Logger) *inventory {
	return &inventory{
		accounts: accounts, rooms: rooms, media: files, log: log,
		accountsDesc: prometheus.NewDesc("homeserver_accounts", "Accounts, by kind.", []string{"kind"}, nil),
		roomsDesc:    prometheus.NewDesc("homeserver_rooms", "Rooms that there are.", nil, nil),
		mediaDesc:    prometheus.NewDesc("homeserver_media_stored_bytes", "Bytes of all files that are kept, without thumbnails.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (i *inventory) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{i.accountsDesc, i.roomsDesc, i.mediaDesc} {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector. While the database is away, it returns the
// last counts.
func (i *inventory) Collect(metrics chan<- prometheus.Metric) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Since(i.counted) >= inventoryAge {
		i.count()
	}
	if !i.known {
		return
	}
	gauge := func(d *prometheus.Desc, value int64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	gauge(i.accountsDesc, i.people.Users, "user")
	gauge(i.accountsDesc, i.people.Guests, "guest")
	gauge(i.accountsDesc, i.people.Deactivated, "deactivated")
	gauge(i.roomsDesc, i.roomsN)
	gauge(i.mediaDesc, i.bytes)
}

// count counts everything; the caller holds the lock. A failed count is not tried again
// at the next scrape: it may have been too slow.
func (i *inventory) count() {
	ctx, cancel := context.WithTimeout(context.Background(), inventoryTimeout)
	defer cancel()
	i.counted = time.Now()
	people, peopleErr := i.accounts.Count(ctx)
	number, roomsErr := i.rooms.Count(ctx)
	bytes, mediaErr := i.media.StoredBytes(ctx)
	if err := errors.Join(peopleErr, roomsErr, mediaErr); err != nil {
		i.log.Warn("count accounts, rooms and files for the metrics", "error", err)
		return
	}
	i.known, i.people, i.roomsN, i.bytes = true, people, number, bytes
}

// newBuildInfo makes the metric of the running version; its value is 1.
func newBuildInfo() prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "homeserver_build_info", Help: "The version that runs, as labels; always 1.",
		ConstLabels: prometheus.Labels{"version": buildinfo.Version(), "go_version": runtime.Version()},
	})
	g.Set(1)
	return g
}

// newFreeDisk makes the metrics of the room that is left where the server writes files.
func newFreeDisk(cfg *config.Config) []prometheus.Collector {
	folders := map[string]string{"data_dir": cfg.DataDir}
	if cfg.Media.Storage == "folder" && cfg.Media.Folder != "" {
		folders["media.folder"] = cfg.Media.Folder
	}
	var all []prometheus.Collector
	for key, folder := range folders {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "homeserver_disk_free_bytes", Help: "Bytes that the server may still write, by the key of the folder.",
			ConstLabels: prometheus.Labels{"folder": key},
		}, func() float64 {
			free, _ := disk.Free(folder) // 0 if that cannot be found out
			return float64(free)
		}))
	}
	return all
}
