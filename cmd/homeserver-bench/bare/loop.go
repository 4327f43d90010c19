package bare

import (
	"context"
	"fmt"
	"runtime"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// groupRows bounds one transaction, as in the journal.
const groupRows = 512

// Loop is a bare group commit: whatever waits goes into one transaction, which
// is sent in one piece. It checks nothing, shows nothing and survives nothing.
type Loop[Row any] struct {
	queue   chan *item[Row]
	insert  func(b *pgx.Batch, rows []Row)
	conn    *pgxpool.Conn
	stopped chan struct{}
}

type item[Row any] struct {
	row  Row
	done chan error
}

// journalTable is the loop's own journal, so that the real one does not take the
// loop for another process.
const journalTable = `
	CREATE TABLE bare_journal (position bigint NOT NULL) WITH (fillfactor = 10);
	INSERT INTO bare_journal VALUES (0)`

// StartLoop starts a loop that runs until Stop. insert queues the statements that
// write the rows of a group; their positions are the last ones up to that in the
// table bare_journal, which is made here.
func StartLoop[Row any](ctx context.Context, pool *pgxpool.Pool, insert func(b *pgx.Batch, rows []Row)) (*Loop[Row], error) {
	if _, err := pool.Exec(ctx, journalTable); err != nil {
		return nil, fmt.Errorf("make the journal of the bare loop: %w", err)
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect the bare loop: %w", err)
	}
	l := &Loop[Row]{queue: make(chan *item[Row], groupRows), insert: insert, conn: conn, stopped: make(chan struct{})}
	go l.run(context.WithoutCancel(ctx))
	return l, nil
}

// Stop ends the loop. Call it once, when nobody calls Commit any more.
func (l *Loop[Row]) Stop() {
	close(l.queue)
	<-l.stopped
	l.conn.Release()
}

// Commit returns when the row is durable. It may be called concurrently.
func (l *Loop[Row]) Commit(row Row) error {
	i := &item[Row]{row: row, done: make(chan error, 1)}
	l.queue <- i
	return <-i.done
}

func (l *Loop[Row]) run(ctx context.Context) {
	defer close(l.stopped)
	for first := range l.queue {
		group := []*item[Row]{first}
		rows := []Row{first.row}
		for len(group) < groupRows && len(l.queue) > 0 {
			next := <-l.queue
			group, rows = append(group, next), append(rows, next.row)
		}
		err := l.write(ctx, rows)
		for _, i := range group {
			i.done <- err
		}
		runtime.Gosched() // makes larger groups, as in the journal
	}
}

func (l *Loop[Row]) write(ctx context.Context, rows []Row) error {
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue("UPDATE bare_journal SET position = position + $1", len(rows))
	l.insert(b, rows)
	b.Queue("COMMIT")
	return l.conn.SendBatch(ctx, b).Close()
}
