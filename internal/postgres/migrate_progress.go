package postgres

import (
	"context"
	"database/sql"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"homeserver/internal/progress"
)

const (
	// quick is how long migrations take that nobody wants to watch.
	quick = time.Second
	// measureEvery is how often it is looked how far they are.
	measureEvery = 200 * time.Millisecond
)

// showProgress draws a bar on the terminal, if there is one, for migrations that take
// more than a moment, until its result is called.
func showProgress(ctx context.Context, db *sql.DB) (end func()) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		drawProgress(ctx, db, os.Stderr)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// drawProgress shows by how much the database has grown: a table that is written anew
// is beside the old one until the commit. Its size before is about what there is to
// write. A database that cannot be measured has no bar.
func drawProgress(ctx context.Context, db *sql.DB, w io.Writer) {
	size := func() (bytes int64, err error) {
		err = db.QueryRowContext(ctx, `SELECT pg_database_size(current_database())`).Scan(&bytes)
		return bytes, err
	}
	wait := time.NewTimer(quick)
	defer wait.Stop()
	before, err := size()
	var bar *progress.Bar
	for grown := int64(0); err == nil; {
		select {
		case <-ctx.Done():
			err = ctx.Err()
			continue
		case <-wait.C:
			wait.Reset(measureEvery)
		}
		if bar == nil {
			bar = progress.New(w, "Migrating the database", before)
		}
		var now int64
		if now, err = size(); err == nil && now-before > grown {
			bar.Add(now - before - grown)
			grown = now - before
		}
	}
	switch {
	case bar == nil:
	case ctx.Err() != nil: // all is done
		bar.Done()
	default:
		bar.Stop()
	}
}
