package bare

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Chime is the least that a server of long polls can be: each request waits on a
// channel, and is answered with what Ring is given.
type Chime struct {
	// Address is host:port.
	Address string

	server  *http.Server
	waiting atomic.Int64
	mu      sync.Mutex
	next    *ring // replaced by Ring
	done    chan error
}

// ring is what requests wait for.
type ring struct {
	rung   chan struct{}
	answer []byte // set before rung is closed
}

// StartChime starts a server on loopback. It runs until Stop.
func StartChime(ctx context.Context) (*Chime, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the bare server: %w", err)
	}
	const headers = 10 * time.Second
	c := &Chime{
		Address: listener.Addr().String(), next: &ring{rung: make(chan struct{})}, done: make(chan error, 1),
	}
	c.server = &http.Server{Handler: http.HandlerFunc(c.wait), ReadHeaderTimeout: headers}
	go func() { c.done <- c.server.Serve(listener) }()
	return c, nil
}

// Stop breaks all connections and ends the server.
func (c *Chime) Stop() error {
	err := c.server.Close()
	if served := <-c.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// Waiting is how many requests wait for the next Ring.
func (c *Chime) Waiting() int { return int(c.waiting.Load()) }

// Ring wakes all that wait, and answers them with the same bytes.
func (c *Chime) Ring(answer []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next.answer = answer
	close(c.next.rung)
	c.next = &ring{rung: make(chan struct{})}
}

func (c *Chime) wait(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	next := c.next
	c.mu.Unlock()
	c.waiting.Add(1)
	defer c.waiting.Add(-1)
	select {
	case <-next.rung:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(next.answer) // a client that has gone needs none
	case <-r.Context().Done():
	}
}
