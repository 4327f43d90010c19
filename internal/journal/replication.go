package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"homeserver/internal/postgres"
)

const (
	// kindPosition is the message that the journal has moved.
	kindPosition = "position"
	// kindHurry is the message that somebody waits for the follower of that name.
	kindHurry = "hurry"
	// readAtOnce is how many entries of other processes are read into memory at once,
	// and bytesAtOnce is how many bytes. A process that is further behind drops what is
	// in memory and goes on from the newest position.
	readAtOnce  = 5000
	bytesAtOnce = 8 << 20
)

// notifyPosition notifies other processes, with the commit, how far the journal is.
func (j *Journal) notifyPosition(b *pgx.Batch, p Position) {
	if j.o.Channel != nil {
		j.o.Channel.Queue(b, kindPosition, strconv.FormatInt(int64(p), 10))
	}
}

// onPosition is called when another process has brought the journal to a position.
func (j *Journal) onPosition(data string) {
	p, err := strconv.ParseInt(data, 10, 64)
	if err == nil && Position(p) > j.Position() {
		j.lookSoon(false)
	}
}

// notifyHurry notifies the process in which a follower leads that somebody waits for it.
func (j *Journal) notifyHurry(name string) {
	if j.o.Channel != nil {
		j.o.Channel.Send(kindHurry, name)
	}
}

// onHurry is called when somebody waits, in another process, for a follower.
func (j *Journal) onHurry(name string) {
	for _, f := range j.followers {
		if f.name == name {
			signal(f.hurry)
		}
	}
}

// lookSoon makes the writer read the commits of others, and the outbox if that is asked
// for.
func (j *Journal) lookSoon(outbox bool) {
	_, _ = j.queue.look(outbox) // refused only while the journal stops
}

// advance brings this process up to a position that the database has reached, with
// the entries that others have written.
func (w *writer) advance(ctx context.Context, upTo Position) error {
	after, first := w.j.Position(), w.first
	w.first = false
	if upTo == after {
		w.cautious = max(0, w.cautious-1)
		return nil
	}
	if upTo < after {
		return errSetBack()
	}
	if !first {
		w.cautious = cautiousGroups
	}
	if first || upTo-after > readAtOnce {
		w.j.reset(upTo)
		return nil
	}
	entries, err := w.read(ctx, after, upTo)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) || postgres.Unavailable(err):
		return err
	case errors.Is(err, ErrTooMuch):
		w.j.reset(upTo)
		return nil
	case err != nil: // a row that is not understood
		w.j.o.Log.ErrorContext(ctx, "what other processes have written cannot be kept in memory", "error", err)
		w.j.reset(upTo)
		return nil
	}
	w.j.metrics.others.Add(float64(len(entries)))
	w.j.publish(entries)
	return nil
}

// read returns the entries in (after, upTo]. A row that has been overwritten since has
// an entry without topics: its successor is at a higher position.
func (w *writer) read(ctx context.Context, after, upTo Position) ([]*Entry, error) {
	entries, most := make([]*Entry, upTo-after), bytesAtOnce
	for _, t := range w.j.tables {
		var found []*Entry
		err := w.j.guard("a journal table", func() (err error) {
			found, err = t.Read(ctx, w.conn, after, upTo, most)
			if err != nil || t.AddTopics == nil || len(found) == 0 {
				return err
			}
			return t.AddTopics(ctx, w.conn, found, most/topicOverhead)
		})
		if err != nil {
			return nil, fmt.Errorf("read %s after %d up to %d: %w", t.Name, after, upTo, err)
		}
		for _, e := range found {
			entries[e.Position-after-1] = e
			most -= e.cost()
		}
	}
	for i := range entries {
		if entries[i] == nil {
			entries[i] = &Entry{Position: after + 1 + Position(i)}
		}
	}
	return entries, nil
}
