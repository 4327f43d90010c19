package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrix"
)

// kindHandled is the message that a posted entry was handled, or has failed.
const kindHandled = "handled"

const (
	// handledAtOnce is how many posted entries are handled at the same time.
	handledAtOnce = 16
	// handledLook is how often a caller that waits for an entry reads its row, in case
	// a message of another process was lost.
	handledLook = time.Second
)

// Posted is the value of an entry that came through the outbox to be handled.
type Posted struct {
	Kind    string
	Payload []byte
}

// Handler handles a posted entry outside of any transaction.
type Handler func(ctx context.Context, e *Entry) error

// Handle sets the handler of the posted entries of a kind. It is called for each, once
// the entry is in the log: at least once, in one process at a time, and for one topic
// one after the other. An entry that fails is tried again later, by any process, and
// delays no other one; so a handler must allow for being called again, and for an entry
// after later ones. The work is done on the account of the first user among the topics.
// Call Handle before Start.
func (j *Journal) Handle(kind string, do Handler) { j.handlers.do[kind] = do }

// handlers calls the handlers of posted entries. Of all processes on one database one
// leads.
type handlers struct {
	j      *Journal
	do     map[string]Handler
	table  Table
	leader leader
	more   chan struct{} // there may be something to handle

	mu      sync.Mutex
	waiting map[int64][]chan<- outcome
}

// outcome is how the handling of an entry ended.
type outcome struct {
	err  error
	here bool // in this process
}

func newHandlers(j *Journal) *handlers {
	h := &handlers{j: j, do: map[string]Handler{}, more: make(chan struct{}, 1), waiting: map[int64][]chan<- outcome{}}
	h.table = Table{Name: "outbox", Queue: queuePosted, Read: h.readPosted}
	h.leader = newLeader(j, "outbox", h.run)
	j.Add(&h.table)
	j.Observe(Observer{
		Committed: func(_ View, entries []*Entry) {
			if slices.ContainsFunc(entries, func(e *Entry) bool { return e.Table == &h.table }) {
				signal(h.more)
			}
		},
		Reset: func(Position) { signal(h.more) },
	})
	return h
}

func (h *handlers) kinds() []string { return slices.Collect(maps.Keys(h.do)) }

func (h *handlers) handles(kind string) bool { return h.do[kind] != nil }

// queuePosted stores the positions of posted entries. They stay in the outbox until
// they are handled.
func queuePosted(b *pgx.Batch, entries []*Entry) error {
	ids, positions := make([]int64, len(entries)), make([]Position, len(entries))
	for i, e := range entries {
		ids[i], positions[i] = e.posted, e.Position
	}
	b.Queue(`
		UPDATE outbox o SET position = n.position, failed = 0
		FROM unnest($1::bigint[], $2::bigint[]) n (id, position) WHERE o.id = n.id`, ids, positions)
	return nil
}

// positioned is a row of the outbox that is in the log.
type positioned struct {
	posted
	Position Position
}

const (
	positionedColumns = `id, kind, rooms, users, payload, position`
	selectPositioned  = `SELECT ` + positionedColumns + ` FROM outbox `
	// The last row is the one that reaches the bound of bytes.
	selectHandling = `
		SELECT ` + positionedColumns + ` FROM (
			SELECT *, sum(octet_length(payload)) OVER (ORDER BY position) - octet_length(payload) AS bytes_before
			FROM (` + selectPositioned + `
				WHERE position IS NOT NULL AND due <= clock_timestamp() AND kind = ANY($1)
					AND NOT rooms && $2::bigint[] AND NOT users && $3::text[] AND id <> ALL($4::bigint[])
				ORDER BY position LIMIT $5) d) d
		WHERE bytes_before < $6 ORDER BY position`
)

func (h *handlers) entry(p *positioned) *Entry {
	return &Entry{
		Position: p.Position, Table: &h.table, Topics: p.topics(), Size: len(p.Payload), posted: p.ID,
		Value: &Posted{Kind: p.Kind, Payload: p.Payload},
	}
}

func (h *handlers) collect(rows pgx.Rows, most int) ([]*Entry, error) {
	return CollectEntries(rows, most, func(row pgx.CollectableRow) (*Entry, error) {
		p, err := pgx.RowToAddrOfStructByPos[positioned](row)
		if err != nil {
			return nil, err
		}
		return h.entry(p), nil
	})
}

// readPosted reads the entries that other processes have taken over and that are not
// handled yet.
func (h *handlers) readPosted(ctx context.Context, conn *pgx.Conn, after, upTo Position, most int) ([]*Entry, error) {
	rows, _ := conn.Query(ctx, selectPositioned+`WHERE position > $1 AND position <= $2`, after, upTo)
	return h.collect(rows, most)
}

// handled is a posted entry whose handler has ended.
type handled struct {
	e   *Entry
	err error
}

// run handles posted entries for as long as this process leads.
func (h *handlers) run(ctx context.Context, conn *pgx.Conn, well func()) error {
	running := map[int64]*Entry{}
	ended := make(chan handled, handledAtOnce)
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		for range running { // nobody else may begin before these have ended
			<-ended
		}
	}()
	for {
		entries, next, err := h.due(ctx, conn, running)
		if err != nil {
			return err
		}
		well()
		for _, e := range withoutSharedTopics(entries) {
			running[e.posted] = e
			go func() { ended <- handled{e, h.call(ctx, e)} }()
		}
		retry := time.NewTimer(next)
		select {
		case <-h.more:
		case <-retry.C:
		case one := <-ended:
			delete(running, one.e.posted)
			if err := h.finish(ctx, conn, one); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		retry.Stop()
	}
}

// due returns entries that may be handled now, beside those that are being handled, and
// the time after which to look again. All together they are handledAtOnce at most, and
// not many more bytes than a group of the log.
func (h *handlers) due(ctx context.Context, conn *pgx.Conn, running map[int64]*Entry) (entries []*Entry, next time.Duration, err error) {
	ids, topics, bytes := []int64{}, []Topic{}, h.j.o.GroupBytes
	for id, e := range running {
		ids, topics, bytes = append(ids, id), append(topics, e.Topics...), bytes-e.Size
	}
	rooms, users := split(topics)
	b := &pgx.Batch{}
	b.Queue(selectHandling, h.kinds(), rooms, users, ids, handledAtOnce-len(running), bytes).Query(func(rows pgx.Rows) (err error) {
		entries, err = h.collect(rows, math.MaxInt)
		return err
	})
	b.Queue(`
		SELECT coalesce(min(due) - clock_timestamp(), $2::interval) FROM outbox
		WHERE position IS NOT NULL AND due > clock_timestamp() AND kind = ANY($1)`, h.kinds(), lastRetry).
		QueryRow(func(row pgx.Row) error { return row.Scan(&next) })
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return nil, 0, fmt.Errorf("read what is to be handled: %w", err)
	}
	return entries, max(next, time.Millisecond), nil
}

// withoutSharedTopics leaves out entries that have a topic in common with an earlier one.
func withoutSharedTopics(entries []*Entry) []*Entry {
	seen := map[Topic]bool{}
	return slices.DeleteFunc(entries, func(e *Entry) bool {
		shared := slices.ContainsFunc(e.Topics, func(t Topic) bool { return seen[t] })
		for _, t := range e.Topics {
			seen[t] = true
		}
		return shared
	})
}

func (h *handlers) call(ctx context.Context, e *Entry) error {
	kind := e.Value.(*Posted).Kind
	if i := slices.IndexFunc(e.Topics, func(t Topic) bool { return t.User != "" }); i >= 0 {
		ctx = matrix.WithCaller(ctx, e.Topics[i].User)
	}
	return h.j.guard("the handler of "+kind, func() error { return h.do[kind](ctx, e) })
}

// finish removes an entry that was handled, or puts off one that has failed.
func (h *handlers) finish(ctx context.Context, conn *pgx.Conn, one handled) error {
	sql, args := `DELETE FROM outbox WHERE id = $1`, []any{one.e.posted}
	if one.err != nil {
		h.j.o.Log.ErrorContext(ctx, "what follows from a change is tried again later",
			"kind", one.e.Value.(*Posted).Kind, "position", one.e.Position, "error", one.err)
		sql, args = putOff+`id = $1`, append(args, firstRetry, lastRetry)
	}
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("note that an entry was handled: %w", err)
	}
	h.answer(one.e.posted, outcome{one.err, true})
	if h.j.o.Channel != nil {
		h.j.o.Channel.Send(kindHandled, strconv.FormatInt(one.e.posted, 10)+" "+strconv.FormatBool(one.err == nil))
	}
	return nil
}

// answer ends the waiting for an entry.
func (h *handlers) answer(id int64, o outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.waiting[id] {
		c <- o
	}
	delete(h.waiting, id)
}

// onHandled is called when another process has handled an entry.
func (h *handlers) onHandled(data string) {
	number, well, _ := strings.Cut(data, " ")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return
	}
	o := outcome{}
	if well != "true" {
		o.err = errHandledElsewhere
	}
	h.answer(id, o)
}

var errHandledElsewhere = errors.New("another process could not do yet what follows from a change")

// Settle returns when an entry that was posted, in a transaction that is committed, is
// handled, and the handler's own commits are shown here. It returns the error of the
// handler if that has failed, which is called again later; the context's; or 503 when
// the journal is stopping.
func (j *Journal) Settle(ctx context.Context, id int64) error {
	ended := make(chan outcome, 1)
	j.handlers.mu.Lock()
	j.handlers.waiting[id] = append(j.handlers.waiting[id], ended)
	j.handlers.mu.Unlock()
	defer j.handlers.forget(id, ended)
	if err := j.lookNow(ctx, true); err != nil {
		return err
	}
	look := time.NewTicker(handledLook)
	defer look.Stop()
	for {
		select {
		case o := <-ended:
			if o.err != nil || o.here {
				return o.err
			}
			return j.lookNow(ctx, false)
		case <-look.C:
			j.handlers.look(ctx, id)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *handlers) forget(id int64, ended chan<- outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting[id] = slices.DeleteFunc(h.waiting[id], func(c chan<- outcome) bool { return c == ended })
	if len(h.waiting[id]) == 0 {
		delete(h.waiting, id)
	}
}

// look reads whether an entry has been handled, or has failed.
func (h *handlers) look(ctx context.Context, id int64) {
	var failed int
	err := h.j.pool.QueryRow(ctx, `SELECT failed FROM outbox WHERE id = $1`, id).Scan(&failed)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		h.answer(id, outcome{})
	case err != nil:
		h.answer(id, outcome{err: fmt.Errorf("look what has become of a change: %w", err)})
	case failed > 0:
		h.answer(id, outcome{err: errHandledElsewhere})
	}
}
