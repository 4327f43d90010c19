package search

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"homeserver/internal/rooms/timeline"
)

const (
	// rewrittenAtOnce is how many rows of the index are written anew in one transaction.
	rewrittenAtOnce = 500
	// rewritingRetry is the time after which this goes on when it has failed.
	rewritingRetry = 10 * time.Second
	// rewritingSaid is how often the log says how far it has come.
	rewritingSaid = 30 * time.Second
)

// rewriting writes the rows of the index anew that an older version of the server has
// written, the newest first and no more than half of the time. The index is searched
// meanwhile: what is not rewritten yet is found as it was written. Several processes may do
// so at once; of what two have done at the same time one part is dropped.
type rewriting struct {
	s    *Service
	log  *slog.Logger
	said time.Time

	cancel context.CancelFunc
	done   sync.WaitGroup
}

func (w *rewriting) start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	w.done.Go(func() { w.run(ctx) })
}

func (w *rewriting) stop() {
	if w.cancel != nil {
		w.cancel()
		w.done.Wait()
	}
}

// run rewrites part after part, until all is done.
func (w *rewriting) run(ctx context.Context) {
	for ctx.Err() == nil {
		begun := time.Now()
		finished, err := w.part(ctx)
		pause := time.Since(begun)
		switch {
		case ctx.Err() != nil || finished:
			return
		case err != nil:
			w.log.ErrorContext(ctx, "the index of messages cannot be written anew for now", "error", err)
			pause = rewritingRetry
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// part rewrites the next rows, and reports whether there were none.
func (w *rewriting) part(ctx context.Context) (finished bool, err error) {
	left, err := w.s.leftToRewrite(ctx)
	if err != nil || left == nil {
		return err == nil, err
	}
	if len(left.numbers) == 0 {
		w.log.InfoContext(ctx, "the index of messages is written anew", "messages", left.total)
		return true, w.s.endRewriting(ctx)
	}
	w.say(ctx, left)
	list, err := w.s.rooms.EventsOf(ctx, left.numbers)
	if err != nil {
		return false, err //nolint:wrapcheck // it says what was read
	}
	read := left.numbers[:len(left.numbers)-len(list.Left)]
	var r rows
	for _, e := range list.Events {
		r.add(e)
	}
	return false, w.s.rewrite(ctx, left.before, read, &r)
}

func (w *rewriting) say(ctx context.Context, left *leftRows) {
	if time.Since(w.said) < rewritingSaid {
		return
	}
	w.said = time.Now()
	w.log.InfoContext(ctx, "the index of messages is being written anew, so that parts of words are found in Chinese, Japanese and Korean",
		"done", left.done, "of", left.total)
}

// leftRows are rows that are not rewritten yet: the next of them, and how many there are.
type leftRows struct {
	before      timeline.EventNID
	done, total int64
	numbers     []timeline.EventNID
}
