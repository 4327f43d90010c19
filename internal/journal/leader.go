package journal

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// leaderRetry is the time after which background work that has failed goes on.
	leaderRetry = time.Second
	// leaderWait is how long one statement waits for the lock. While it waits it keeps
	// dead rows from being removed, of which the journal's row leaves one for each
	// commit; so it is ended and made again.
	leaderWait = time.Second
)

// leader runs background work in one of all processes on a database: the one that holds
// an advisory lock, on a connection of its own, by which the work writes, too.
type leader struct {
	j    *Journal
	name string
	// work is done for as long as it returns no error; well is called when it is under way.
	work  func(ctx context.Context, conn *pgx.Conn, well func()) error
	retry time.Duration // leaderRetry, but in tests
	wait  time.Duration // leaderWait, but in tests

	cancel context.CancelFunc
	done   chan struct{}
}

func newLeader(j *Journal, name string, work func(context.Context, *pgx.Conn, func()) error) leader {
	return leader{j: j, name: name, work: work, retry: leaderRetry, wait: leaderWait}
}

// Start begins the work. Call it once, after the journal has been started. Only Stop
// ends it.
func (l *leader) Start(ctx context.Context) {
	ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l.done = make(chan struct{})
	go l.run(ctx)
}

// Stop cancels the work, which the next server to start goes on with, and returns when
// it has ended. It does nothing where Start was not called.
func (l *leader) Stop() {
	if l.cancel != nil {
		l.cancel()
		<-l.done
	}
}

// run leads whenever it may, and tries again after any error. It logs the first failure
// only.
func (l *leader) run(ctx context.Context) {
	defer close(l.done)
	failing := false
	for {
		err := l.lead(ctx, func() { failing = false })
		if ctx.Err() != nil {
			return
		}
		if !failing {
			failing = true
			l.j.o.Log.Error("background work on the journal", "follower", l.name, "error", err)
		}
		select {
		case <-time.After(l.retry):
		case <-ctx.Done():
			return
		}
	}
}

// lead waits for the lock and does the work until that fails.
func (l *leader) lead(ctx context.Context, well func()) error {
	config := l.j.pool.Config().ConnConfig
	// Work that is lost in a crash is done again, as the position is lost with it: no
	// commit of a follower needs to wait for the disk and delay those of senders.
	config.RuntimeParams["synchronous_commit"] = "off"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer l.disconnect(ctx, conn)
	for leads := false; !leads; {
		if err := conn.QueryRow(ctx, `SELECT wait_to_lead($1, $2)`, l.name, l.wait.Milliseconds()).Scan(&leads); err != nil {
			return fmt.Errorf("wait for the lock: %w", err)
		}
	}
	return l.work(ctx, conn, well)
}

// disconnect releases the lock by closing the connection.
func (l *leader) disconnect(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := conn.Close(ctx); err != nil {
		l.j.o.Log.Debug("close the connection of a follower", "follower", l.name, "error", err)
	}
}
