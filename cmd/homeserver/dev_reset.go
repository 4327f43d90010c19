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
// Only a server with a PostgreSQL of its own has it.
func (r *reset) kit(fromNetwork, own bool) *control.Kit {
	options := control.Options{FromNetwork: fromNetwork}
	var kit *control.Kit
	if own {
		options.Reset = func(ctx context.Context) error {
			select {
			case s := <-r.started:
				r.started <- s // for the next reset
				if err := s.Renew(ctx); err != nil {
					return err //nolint:wrapcheck // it says what was attempted
				}
				kit.Faults.Clear()
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	kit = control.New(options)
	return kit
}
