package server

import (
	"context"
	"log/slog"

	"homeserver/internal/postgres/cluster"
	"homeserver/internal/server/config"
	"homeserver/internal/server/disk"
)

// disks are those that the server writes to.
type disks struct {
	watch           *disk.Watch
	database, files *disk.Space
}

// newDisks finds them. The cluster is the server's own; nil: the database is on a disk that is somebody else's.
func newDisks(cfg *config.Config, cluster *cluster.Cluster, log *slog.Logger) *disks {
	d := &disks{watch: disk.NewWatch(disk.Options{Floor: int64(cfg.Limits.FreeDisk), Log: log})}
	if cluster != nil {
		d.database = d.watch.Add(cluster.DataDir())
	}
	d.files = d.watch.Add(cfg.MediaDir())
	return d
}

// Start begins to look at them.
func (d *disks) Start(context.Context) { d.watch.Start() }

// Stop ends that.
func (d *disks) Stop() { d.watch.Stop() }

// roomForFiles returns the error for files while there is too little room for them, or for their records.
func (d *disks) roomForFiles() error {
	if err := d.files.Check(); err != nil {
		return err
	}
	return d.database.Check()
}
