package journal

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Worker is background work that one of all processes on a database does, such as what is
// due at some time. It follows nothing: see [Follower] for work that does.
type Worker struct{ leader }

// Worker makes a worker of that name, which runs between Start and Stop. work is called
// while this process leads, and works until the context ends or it returns an error, after
// which it is called again, here or in another process. It calls well when it has done
// something.
func (j *Journal) Worker(name string, work func(ctx context.Context, well func()) error) *Worker {
	w := &Worker{}
	w.leader = newLeader(j, name, func(ctx context.Context, _ *pgx.Conn, well func()) error {
		return j.guard("background work", func() error { return work(ctx, well) })
	})
	return w
}
