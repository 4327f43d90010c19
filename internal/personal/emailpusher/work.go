package emailpusher

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

const (
	// dueAtOnce is how many pushers that are due are read together, and atOnce how many of
	// them are looked at, and sent a mail, at the same time.
	dueAtOnce, atOnce = 100, 4
)

// work is what the process that leads knows. It serves one goroutine.
type work struct {
	s     *Service
	trail *journal.Trail
	// users are those who have e-mail pushers. Some may have none any more.
	users []string
	// nextLook is when to look at the journal again, nextDue when a pusher is due; zero:
	// none is.
	nextLook, nextDue time.Time
}

// lead sends mails for as long as this process leads.
func (s *Service) lead(ctx context.Context, t *journal.Trail) error {
	w := &work{s: s, trail: t}
	if err := w.readUsers(ctx); err != nil {
		return err
	}
	for {
		if err := w.round(ctx); err != nil {
			return err
		}
	}
}

// readUsers reads who has pushers. What these are due for is looked at soon.
func (w *work) readUsers(ctx context.Context) (err error) {
	w.nextDue = w.s.now()
	w.users, err = w.s.o.Push.UsersWithEmailPushers(ctx)
	return err
}

// round does what there is to do, and waits for more.
func (w *work) round(ctx context.Context) error {
	now := w.s.now()
	if !now.Before(w.nextLook) {
		if err := w.follow(ctx, now); err != nil {
			return err
		}
		if w.nextLook = now; w.trail.Taken() == w.s.o.Journal.Position() {
			w.nextLook = now.Add(w.s.gather)
		}
	}
	if !w.nextDue.IsZero() && !now.Before(w.nextDue) {
		if err := w.sendDue(ctx, now); err != nil {
			return err
		}
	}
	return w.wait(ctx)
}

// follow notes whom the next entries of the journal may notify. Whether they do is looked
// at when the time has come.
func (w *work) follow(ctx context.Context, now time.Time) error {
	after, upTo := w.trail.Take()
	if after == upTo {
		return nil
	}
	var users []string
	if len(w.users) > 0 {
		var err error
		if users, err = w.concerned(ctx, after, upTo); err != nil {
			return err
		}
	}
	due := now.Add(quiet)
	return w.trail.Save(ctx, func(tx pgx.Tx) error {
		if len(users) == 0 {
			return nil
		}
		if w.nextDue.IsZero() || due.Before(w.nextDue) {
			w.nextDue = due
		}
		return w.s.o.Push.SetEmailPushersDue(ctx, tx, users, due)
	})
}

// concerned lists the users with pushers who are in rooms in which something was said in
// (after, upTo], or who were invited. After a crash that is anybody.
func (w *work) concerned(ctx context.Context, after, upTo journal.Position) ([]string, error) {
	rooms, users := map[journal.RoomNID]bool{}, map[string]bool{}
	live := false
	w.s.o.Journal.Read(func(v journal.View) {
		if live = v.Covers(after); !live {
			return
		}
		for _, entry := range v.Between(after, upTo) {
			c := timeline.ChangeOf(entry)
			if c.Event != nil {
				rooms[c.Room] = true
			}
			for at := range c.Line {
				users[at.Key] = users[at.Key] || at.Type == event.TypeMember
			}
		}
	})
	if !live {
		return w.users, nil
	}
	var among []string
	for _, user := range w.users {
		if users[user] {
			among = append(among, user)
		}
	}
	if len(rooms) == 0 {
		return among, nil
	}
	nids := make([]journal.RoomNID, 0, len(rooms))
	for nid := range rooms {
		nids = append(nids, nid)
	}
	err := w.s.o.Rooms.JoinedAmong(ctx, nids, w.users, func(_ journal.RoomNID, user string) { among = append(among, user) })
	return among, err
}

// sendDue looks at the pushers that are due.
func (w *work) sendDue(ctx context.Context, now time.Time) error {
	due, next, err := w.s.o.Push.DueEmailPushers(ctx, now, dueAtOnce)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	again := make([]time.Time, len(due))
	for i := range due {
		group.Go(func() error {
			progress, err := w.s.tryReview(ctx, &due[i], now)
			if err != nil {
				return err
			}
			if progress.Due != nil {
				again[i] = *progress.Due
			}
			return w.s.o.Push.SaveMailProgress(ctx, due[i].PusherKey, progress)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	w.nextDue = next
	for _, at := range again {
		if !at.IsZero() && (w.nextDue.IsZero() || at.Before(w.nextDue)) {
			w.nextDue = at
		}
	}
	return nil
}

// wait returns when there may be something to do.
func (w *work) wait(ctx context.Context) error {
	now := w.s.now()
	until := time.Hour
	more := w.trail.More()
	if w.trail.Taken() < w.s.o.Journal.Position() {
		more, until = nil, w.nextLook.Sub(now)
	}
	if !w.nextDue.IsZero() {
		until = min(until, w.nextDue.Sub(now))
	}
	at := w.s.o.Clock.NewTimer(max(until, 0))
	defer at.Stop()
	select {
	case <-more:
	case <-at.C:
	case <-w.s.changed:
		return w.readUsers(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
