package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"homeserver/internal/postgres"
)

const (
	// kindPosition is the message that the journal has moved.
	kindPosition = "position"
	// kindHurry is the message that somebody waits for the follower of that name.
	kindHurry = "hurry"
	// fillEntries is how many entries of other processes are read into memory at
	// once. Who is further behind gives up what is in memory and goes on from there.
	fillEntries = 5000
	// secondChance is how long a transaction waits for writes that were stale to
	// come back, built anew.
	secondChance = 5 * time.Millisecond
)

// tellPosition tells other processes, with the commit, how far the journal is.
func (j *Journal) tellPosition(b *pgx.Batch, p Position) {
	if j.o.Channel != nil {
		j.o.Channel.Queue(b, kindPosition, strconv.FormatInt(int64(p), 10))
	}
}

// told hears how far another process has brought the journal.
func (j *Journal) told(data string) {
	p, err := strconv.ParseInt(data, 10, 64)
	if err == nil && Position(p) > j.Position() {
		j.lookAround()
	}
}

// tellHurry tells the process in which a follower leads that somebody waits for it.
func (j *Journal) tellHurry(name string) {
	if j.o.Channel != nil {
		j.o.Channel.Send(kindHurry, name)
	}
}

// toldHurry hears the same.
func (j *Journal) toldHurry(name string) {
	for _, f := range j.followers {
		if f.name == name {
			signal(f.hurry)
		}
	}
}

// lookAround makes the writer look for what others have committed.
func (j *Journal) lookAround() {
	_, _ = j.queue.look() // refused only while the journal stops
}

// fill brings this process up to a position that the database has reached, with
// the entries that others have written.
func (w *writer) fill(ctx context.Context, upTo Position) error {
	after, first := w.j.Position(), w.first
	w.first = false
	if upTo == after {
		return nil
	}
	if upTo < after {
		return errSetBack()
	}
	if first || upTo-after > fillEntries {
		w.j.reset(upTo)
		return nil
	}
	entries, err := w.read(ctx, after, upTo)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) || postgres.Unavailable(err):
		return err
	case err != nil: // a row that is not understood
		w.j.o.Log.ErrorContext(ctx, "what other processes have written cannot be kept in memory", "error", err)
		w.j.reset(upTo)
		return nil
	}
	w.j.metrics.others.Add(float64(len(entries)))
	w.j.publish(entries)
	return nil
}

// read gives the entries in (after, upTo]. What has been overwritten since has an
// entry without topics: its successor stands at a higher position.
func (w *writer) read(ctx context.Context, after, upTo Position) ([]*Entry, error) {
	entries := make([]*Entry, upTo-after)
	for _, t := range w.j.tables {
		var found []*Entry
		err := w.j.guard("a journal table", func() (err error) {
			found, err = t.Read(ctx, w.conn, after, upTo)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read %s after %d up to %d: %w", t.Name, after, upTo, err)
		}
		for _, e := range found {
			entries[e.Position-after-1] = e
		}
	}
	for i := range entries {
		if entries[i] == nil {
			entries[i] = &Entry{Position: after + 1 + Position(i)}
		}
	}
	return entries, nil
}

// refresh takes the stale writes out of a group and answers them. In their place
// comes what is enqueued within a short time: while this transaction is open no
// other process writes, so whoever builds anew now is not overtaken again.
func (w *writer) refresh(group []*Pending) (fresh []*Pending, changed bool) {
	fresh = w.j.dropStale(group)
	stale := len(group) - len(fresh)
	if stale == 0 {
		return group, false
	}
	w.j.queue.await(stale, secondChance)
	more := w.j.queue.take(w.j.o.GroupWrites-len(fresh), w.j.o.GroupBytes)
	for _, looked := range more.looks {
		looked <- nil
	}
	return append(fresh, w.j.dropStale(more.group)...), true
}

// dropStale answers the stale writes and returns the others.
func (j *Journal) dropStale(group []*Pending) []*Pending {
	fresh := make([]*Pending, 0, len(group))
	for _, p := range group {
		if p.w.Stale != nil && p.w.Stale() {
			j.metrics.stale.Inc()
			p.answer(ErrStale)
			continue
		}
		fresh = append(fresh, p)
	}
	return fresh
}
