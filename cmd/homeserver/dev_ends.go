package main

import (
	"context"
	"flag"
	"io"

	"homeserver/internal/devkit"
)

// ends are the events that end a development server, beside signals.
type ends struct {
	withParent bool
	atEOF      bool
}

func (e *ends) declare(flags *flag.FlagSet) {
	flags.BoolVar(&e.withParent, "exit-with-parent", false, "end when the process that has started this one ends")
	flags.BoolVar(&e.atEOF, "exit-at-eof", false, "end when standard input is closed")
}

// watch returns a context that ends at those events, too. Call stop when it is not needed any more.
func (e *ends) watch(ctx context.Context, stdin io.Reader) (_ context.Context, stop context.CancelFunc) {
	ctx, stop = context.WithCancel(ctx)
	if e.withParent {
		devkit.WatchParent(ctx, stop)
	}
	if e.atEOF {
		// This lasts as long as the process: nothing else reads its input.
		go func() {
			_, _ = io.Copy(io.Discard, stdin) // an input that cannot be read has ended, too
			stop()
		}()
	}
	return ctx, stop
}
