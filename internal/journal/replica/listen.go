package replica

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// connect makes a connection that listens.
func (c *Channel) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, c.pool.Config().ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("connect to listen to other processes: %w", err)
	}
	if _, err := conn.Exec(ctx, "LISTEN "+channelName); err != nil {
		c.disconnect(ctx, conn)
		return nil, fmt.Errorf("listen to other processes: %w", err)
	}
	return conn, nil
}

func (c *Channel) disconnect(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := conn.Close(ctx); err != nil {
		c.log.DebugContext(ctx, "close the connection that listens to other processes", "error", err)
	}
}

// listen hears until the context ends, on new connections where one is lost.
func (c *Channel) listen(ctx context.Context, conn *pgx.Conn) {
	for conn != nil {
		err := c.hear(ctx, conn)
		c.setListening(false)
		c.disconnect(ctx, conn)
		if ctx.Err() != nil {
			return
		}
		c.log.WarnContext(ctx, "the connection to hear of other processes is lost; trying again", "error", err)
		conn = c.reconnect(ctx)
	}
}

// reconnect tries until it works; nil when the context has ended.
func (c *Channel) reconnect(ctx context.Context) *pgx.Conn {
	for {
		conn, err := c.connect(ctx)
		if err == nil {
			c.log.InfoContext(ctx, "listening to other processes again")
			return conn
		}
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
			return nil
		}
	}
}

// hear calls the handlers for messages on one connection, until that is lost.
func (c *Channel) hear(ctx context.Context, conn *pgx.Conn) error {
	c.setListening(true)
	c.post(kindHello, "")
	for _, f := range c.missed {
		f()
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		c.heard(n.Payload)
	}
}

func (c *Channel) setListening(listening bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listening = listening
}

// heard hands out one message. Kinds that nobody here knows are of another
// version of the program.
func (c *Channel) heard(message string) {
	instance, rest, _ := strings.Cut(message, " ")
	kind, data, ok := strings.Cut(rest, " ")
	if !ok || instance == c.instance {
		return
	}
	if instance != database {
		c.met(instance)
	}
	switch f := c.handlers[kind]; {
	case kind == kindHello:
		c.post(kindHere, "")
		for _, f := range c.joined {
			f()
		}
	case f != nil:
		f(data)
	}
}

// met notes that another process runs. One that only sends, such as a command of the
// operator, counts as running for a while, too.
func (c *Channel) met(instance string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.peers[instance]; known || len(c.peers) < maxPeers {
		c.peers[instance] = time.Now()
	}
}
