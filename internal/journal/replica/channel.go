package replica

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// channelName is the channel of PostgreSQL. Each database has its own of that name.
	channelName = "homeserver"
	// signEvery is how often a process sends a sign of life, and peerFor is how long it
	// counts as running after the last one.
	signEvery = 10 * time.Second
	peerFor   = 35 * time.Second
	// retryAfter is the pause before a lost connection is made again.
	retryAfter = time.Second
	// maxPeers bounds the processes that are remembered.
	maxPeers = 1000
	// outboxMessages bounds the messages that wait to be sent, sendAtOnce those in one
	// statement.
	outboxMessages = 4096
	sendAtOnce     = 256
)

// MaxData is how many bytes a message may have. PostgreSQL takes just under 8,000,
// of which sender and kind need a few.
const MaxData = 7900

// The kinds of messages by which processes find each other: a new one says hello,
// which the others answer by a sign of life.
const (
	kindHello = "hello"
	kindHere  = "here"
)

// database is the sender of messages that triggers of the database send to all
// processes.
const database = "-"

// Channel is one process's end. Its methods may be called concurrently, unless
// they say when to call them.
type Channel struct {
	pool     *pgxpool.Pool
	log      *slog.Logger
	instance string

	handlers map[string]func(data string)
	missed   []func()
	joined   []func()
	outbox   chan string

	mu        sync.Mutex
	listening bool
	peers     map[string]time.Time // when each was heard last

	cancel context.CancelFunc
	ended  sync.WaitGroup
}

// New makes a channel on a database. Until Start it receives nothing; messages in
// transactions are sent without it, as by the commands of an operator.
func New(pool *pgxpool.Pool, log *slog.Logger) *Channel {
	return &Channel{
		pool: pool, log: log, instance: strings.ToLower(rand.Text()[:8]),
		handlers: map[string]func(string){}, outbox: make(chan string, outboxMessages), peers: map[string]time.Time{},
	}
}

// Handle sets the function for messages of a kind, a word, of other processes or
// triggers of the database. f is called for one message after the other: it must be
// quick and do no I/O. Call it before Start.
func (c *Channel) Handle(kind string, f func(data string)) { c.handlers[kind] = f }

// OnMissed adds a function that is called when messages may have been missed: as
// soon as the channel listens, at the start and after each loss of the connection.
// It must be quick. Call OnMissed before Start.
func (c *Channel) OnMissed(f func()) { c.missed = append(c.missed, f) }

// OnJoined adds a function that is called when another process begins to listen, which
// does not have yet what is in memory alone. It must be quick. Call OnJoined before
// Start.
func (c *Channel) OnJoined(f func()) { c.joined = append(c.joined, f) }

// Start begins to listen and to send, until Stop. The context is for the start alone.
func (c *Channel) Start(ctx context.Context) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	c.ended.Go(func() { c.listen(running, conn) })
	c.ended.Go(func() { c.send(running) })
	return nil
}

// Stop ends both and waits for their end. It does nothing where Start was not called.
func (c *Channel) Stop() {
	if c.cancel != nil {
		c.cancel()
		c.ended.Wait()
	}
}

// Alone reports whether this process listens and has heard of no other lately.
func (c *Channel) Alone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for instance, heard := range c.peers {
		if time.Since(heard) < peerFor {
			return false
		}
		delete(c.peers, instance)
	}
	return c.listening
}

// Send sends a message of at most MaxData bytes to the other processes. It is dropped
// if there are none, or if too many messages wait.
func (c *Channel) Send(kind, data string) {
	if c.Alone() {
		return
	}
	c.post(kind, data)
}

func (c *Channel) post(kind, data string) {
	select {
	case c.outbox <- c.message(kind, data):
	default:
		c.log.Debug("a message to other processes is dropped: too many wait", "kind", kind)
	}
}

const notify = `SELECT pg_notify('` + channelName + `', $1)`

// Queue makes a message part of the transaction that the batch is in.
func (c *Channel) Queue(b *pgx.Batch, kind, data string) {
	if !c.Alone() {
		b.Queue(notify, c.message(kind, data))
	}
}

// Tell makes a message part of a transaction.
func (c *Channel) Tell(ctx context.Context, tx pgx.Tx, kind, data string) error {
	if c.Alone() {
		return nil
	}
	if _, err := tx.Exec(ctx, notify, c.message(kind, data)); err != nil {
		return fmt.Errorf("tell other processes of %s: %w", kind, err)
	}
	return nil
}

func (c *Channel) message(kind, data string) string { return c.instance + " " + kind + " " + data }

// send hands the outbox to PostgreSQL, several messages at once where they wait.
func (c *Channel) send(ctx context.Context) {
	sign := time.NewTicker(signEvery)
	defer sign.Stop()
	for {
		var messages []string
		select {
		case m := <-c.outbox:
			messages = append(messages, m)
		case <-sign.C:
			messages = append(messages, c.message(kindHere, ""))
		case <-ctx.Done():
			return
		}
		for len(messages) < sendAtOnce && len(c.outbox) > 0 {
			messages = append(messages, <-c.outbox)
		}
		_, err := c.pool.Exec(ctx, `SELECT pg_notify('`+channelName+`', m) FROM unnest($1::text[]) WITH ORDINALITY AS l(m, n) ORDER BY n`, messages)
		if err != nil && ctx.Err() == nil {
			c.log.DebugContext(ctx, "messages to other processes are lost", "number", len(messages), "error", err)
		}
	}
}
