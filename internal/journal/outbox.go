package journal

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/postgres"
)

// kindOutbox is the message of the database that something was put into the outbox.
const kindOutbox = "outbox"

// An entry that cannot be written, or handled, is tried again after firstRetry; the
// delay doubles each time, up to lastRetry.
const (
	firstRetry = time.Second
	lastRetry  = time.Hour
)

// Post puts an entry into the outbox, in a transaction of the caller's own. Once that is
// committed a journal writes the entry into the log: of all processes on the database
// exactly one, at its next start if there is none. The kind is one of [Journal.Handle],
// or the name of a table with Decode. Entries of one topic keep the order of their
// transactions; those that post on the same topics exclude each other until they end.
func Post(ctx context.Context, tx pgx.Tx, kind string, topics []Topic, payload []byte) (id int64, err error) {
	if payload == nil {
		payload = []byte{}
	}
	rooms, users := split(topics)
	locks := []string{}
	for _, user := range users {
		locks = append(locks, "outbox "+user)
	}
	for _, room := range rooms {
		locks = append(locks, "outbox "+strconv.FormatInt(int64(room), 10))
	}
	slices.Sort(locks) // so that two never wait for each other
	// The number is drawn after the locks are held.
	err = tx.QueryRow(ctx, `
		INSERT INTO outbox (kind, rooms, users, payload)
		SELECT $1, $2, $3, $4
		FROM (SELECT count(pg_advisory_xact_lock(hashtextextended(lock, 0))) FROM unnest($5::text[]) lock) locked
		RETURNING id`, kind, rooms, users, payload, locks).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("put an entry of %s into the outbox: %w", kind, err)
	}
	return id, nil
}

// split returns topics as two columns.
func split(topics []Topic) (rooms []RoomNID, users []string) {
	rooms, users = []RoomNID{}, []string{} // nil would be NULL
	for _, t := range topics {
		if t.User != "" {
			users = append(users, t.User)
		} else {
			rooms = append(rooms, t.Room)
		}
	}
	return rooms, users
}

// posted is a row of the outbox.
type posted struct {
	ID      int64
	Kind    string
	Rooms   []RoomNID
	Users   []string
	Payload []byte
}

func (p *posted) topics() []Topic {
	topics := make([]Topic, 0, len(p.Rooms)+len(p.Users))
	for _, room := range p.Rooms {
		topics = append(topics, Topic{Room: room})
	}
	for _, user := range p.Users {
		topics = append(topics, Topic{User: user})
	}
	return topics
}

// kinds lists the kinds that are known here: others are left to the version of the
// server that knows them.
func (j *Journal) kinds() []string {
	kinds := j.handlers.kinds()
	for _, t := range j.tables {
		if t.Decode != nil {
			kinds = append(kinds, t.Name)
		}
	}
	return kinds
}

// entry makes the entry of a row.
func (j *Journal) entry(p *posted) (*Entry, error) {
	e := &Entry{Topics: p.topics(), Size: len(p.Payload), posted: p.ID}
	if j.handlers.handles(p.Kind) {
		e.Table, e.Value = &j.handlers.table, &Posted{Kind: p.Kind, Payload: p.Payload}
		return e, nil
	}
	var err error
	e.Table = j.tables[slices.IndexFunc(j.tables, func(t *Table) bool { return t.Name == p.Kind })]
	if e.Value, err = e.Table.Decode(p.Payload); err != nil {
		return nil, &queueError{fmt.Errorf("decode the entry %d of %s in the outbox: %w", p.ID, p.Kind, err)}
	}
	return e, nil
}

const (
	duePosts = ` FROM outbox WHERE position IS NULL AND due <= clock_timestamp() AND kind = ANY($1) `
	anyDue   = `SELECT EXISTS (SELECT` + duePosts + `)`
	// The last row is the one that reaches the bound of bytes, so there is always one.
	selectDue = `
		SELECT id, kind, rooms, users, payload FROM (
			SELECT *, sum(octet_length(payload)) OVER (ORDER BY id) - octet_length(payload) AS bytes_before
			FROM (SELECT id, kind, rooms, users, payload` + duePosts + `ORDER BY id LIMIT $2) d) d
		WHERE bytes_before < $3 ORDER BY id`
	// putOff delays a row that has failed: by $2 at first, by $3 at most.
	putOff = `
		UPDATE outbox SET failed = failed + 1, due = clock_timestamp() + least($2::interval * power(2, least(failed, 20)), $3::interval)
		WHERE `
	postponeDue = putOff + `id = (SELECT id` + duePosts + `ORDER BY id LIMIT 1)`
)

// takeOver writes the due entries of the outbox into the log. An entry that the
// database or its table refuses delays no other, and is tried again later.
func (w *writer) takeOver(ctx context.Context) error {
	kinds := w.j.kinds()
	if len(kinds) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.j.timeout)
	defer cancel()
	if err := w.ready(ctx); err != nil {
		return err
	}
	var due bool
	if err := w.conn.QueryRow(ctx, anyDue, kinds).Scan(&due); err != nil || !due {
		return w.failed(ctx, err, "look into the outbox")
	}
	for limit := w.j.o.GroupWrites; ; {
		more, err := w.takeOverSome(ctx, kinds, limit)
		switch {
		case isRefusal(err) && limit > 1:
			limit /= 2
		case isRefusal(err):
			w.j.o.Log.ErrorContext(ctx, "an entry of the outbox cannot be written and is tried again later", "error", err)
			if err := w.postpone(ctx, kinds); err != nil {
				return err
			}
			limit = w.j.o.GroupWrites
		case err != nil || !more:
			return err
		}
	}
}

// postpone puts off the entry whose turn it is.
func (w *writer) postpone(ctx context.Context, kinds []string) error {
	if err := w.ready(ctx); err != nil {
		return err
	}
	_, err := w.conn.Exec(ctx, postponeDue, kinds, firstRetry, lastRetry)
	return w.failed(ctx, err, "postpone an entry of the outbox")
}

// takeOverSome writes some entries of the outbox in one transaction, and reports
// whether there may be more: it stops at the limit, and once they have as many bytes as
// a group. The transaction holds the journal's row, so no other process takes them
// over.
func (w *writer) takeOverSome(ctx context.Context, kinds []string, limit int) (more bool, err error) {
	if err := w.ready(ctx); err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			w.abandon(ctx, err)
		}
	}()
	started := time.Now()
	var before Position
	var posts []*posted
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue("SELECT position FROM journal FOR UPDATE").QueryRow(func(row pgx.Row) error { return row.Scan(&before) })
	b.Queue(selectDue, kinds, limit, w.j.o.GroupBytes).Query(func(rows pgx.Rows) (err error) {
		posts, err = pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[posted])
		return err
	})
	if err := w.conn.SendBatch(ctx, b).Close(); err != nil {
		return false, fmt.Errorf("read the outbox: %w", err)
	}
	if err := w.advance(ctx, before); err != nil {
		return false, err
	}
	if len(posts) == 0 { // another process was first
		_, err := w.conn.Exec(ctx, "ROLLBACK")
		return false, err
	}
	bytes := 0
	entries := make([]*Entry, len(posts))
	for i, p := range posts {
		if entries[i], err = w.j.entry(p); err != nil {
			return false, err
		}
		entries[i].Position = before + 1 + Position(i)
		bytes += len(p.Payload)
	}
	if err := w.addTopics(ctx, entries); err != nil {
		return false, err
	}
	b = &pgx.Batch{}
	b.Queue(setPosition, before+Position(len(entries)))
	w.j.queueRemoval(b, entries)
	if err := w.commit(ctx, b, nil, entries, before); err != nil {
		return false, err
	}
	w.j.metrics.observe(len(entries), time.Since(started))
	w.j.publish(entries)
	w.j.chargeTopics(entries)
	return len(entries) == limit || bytes >= w.j.o.GroupBytes, nil
}

// addTopics has tables add topics to entries of the outbox. Where that would be more than a
// group may cost, fewer are taken over at once; one entry may have any number.
func (w *writer) addTopics(ctx context.Context, entries []*Entry) error {
	tables, byTable := splitByTable(entries)
	most := w.j.o.GroupBytes / topicOverhead
	if len(entries) == 1 {
		most = math.MaxInt
	}
	for _, t := range tables {
		if t.AddTopics == nil {
			continue
		}
		err := w.j.guard("a journal table", func() error { return t.AddTopics(ctx, w.conn, byTable[t], most) })
		if postgres.Unavailable(err) {
			return err
		}
		if err != nil {
			return &queueError{fmt.Errorf("add topics to entries of %s: %w", t.Name, err)}
		}
		for _, e := range byTable[t] {
			most -= len(e.Topics)
		}
	}
	return nil
}

// chargeTopics charges the topics that were added to entries to the users whose they are:
// they take up the live window as other bytes do.
func (j *Journal) chargeTopics(entries []*Entry) {
	for _, e := range entries {
		if e.Table.AddTopics == nil {
			continue
		}
		if i := slices.IndexFunc(e.Topics, func(t Topic) bool { return t.User != "" }); i >= 0 {
			j.o.Limits.Charge(ratelimit.WrittenBytes, e.Topics[i].User, topicOverhead*(len(e.Topics)-1))
		}
	}
}

// ShowPosted returns when everything that was posted, in transactions that are committed,
// stands in the log and is shown here, but for what could not be written and is tried again
// later. Errors of the database, the context's, or 503 when the journal is stopping.
func (j *Journal) ShowPosted(ctx context.Context) error { return j.lookNow(ctx, true) }

// queueRemoval removes the entries from the outbox that are in tables of their own now.
func (j *Journal) queueRemoval(b *pgx.Batch, entries []*Entry) {
	var ids []int64
	for _, e := range entries {
		if e.posted != 0 && e.Table != &j.handlers.table {
			ids = append(ids, e.posted)
		}
	}
	if len(ids) > 0 {
		b.Queue(`DELETE FROM outbox WHERE id = ANY($1)`, ids)
	}
}
