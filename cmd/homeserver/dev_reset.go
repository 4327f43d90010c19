package main

import (
	"context"

	"homeserver/internal/devkit/control"
	"homeserver/internal/server"
)

// reset sets a development server back.
type reset struct {
	// started receives the server, which takes requests a moment before it is known here.
	started chan *server.Server
}

func newReset() *reset { return &reset{make(chan *server.Server, 1)} }

// kit returns the endpoints by which tests control the server. A reset takes faults back, too.
func (r *reset) kit(fromNetwork bool) *control.Kit {
	var kit *control.Kit
	kit = control.New(control.Options{FromNetwork: fromNetwork, Reset: func(ctx context.Context) error {
		select {
		case s := <-r.started:
			r.started <- s // for the next reset
			kit.Faults.Clear()
			return s.Renew(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
	return kit
}
