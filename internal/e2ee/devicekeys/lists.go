package devicekeys

import (
	"context"
	"fmt"
	"math"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// ListQuery asks a user's question whose device lists to fetch anew: for what has changed
// after one position, up to another.
type ListQuery struct {
	UserID      string
	Since, UpTo journal.Position
	// Seen is what has happened between, where that is known; nil: it is read.
	Seen *Seen
	// Rooms are those in which others may have come or gone, where that is known and the user
	// was in the same rooms all the time; nil: it is not known.
	Rooms []journal.RoomNID
	// Lost: what the user knows may never have been, so that all is to be fetched anew.
	Lost bool
}

// Seen is what has happened between two positions.
type Seen struct {
	// Changed are users whose lists have changed: the one who asks, and others in rooms that
	// both are in.
	Changed []string
	// Moved are other users who have joined or left a room that the user was in all the time.
	Moved []string
	// OwnMoved: the user may have joined or left a room.
	OwnMoved bool
}

// Lists is the answer to a ListQuery. Client-server API, "End-to-End Encryption",
// "Extensions to /sync", DeviceLists.
type Lists struct {
	// changed are users who share a room with the one who asks, and whose lists have changed,
	// or with whom the user has not shared a room all the time; and the user, if their own
	// list has changed. left are users with whom the user shared a room, or an encrypted
	// room, and shares none such any longer; they are not among the changed.
	changed, left []string
	// rest asks for those who come after; nil: there are none. They are read when the answer
	// is written.
	rest *rest
}

// rest is the parts of an answer that are not read yet.
type rest struct {
	s *Service
	q timeline.SharingQuery
}

// Lists looks whose device lists a user has to fetch anew, and whose to forget. There is no
// statement where what has happened is known and nobody has joined or left, else one, and a
// short one before it where it may find nobody. Where there are very many users the rest is read, by further ones, when the answer is written.
func (s *Service) Lists(ctx context.Context, q ListQuery) (*Lists, error) {
	if q.Seen != nil && len(q.Seen.Moved) == 0 && !q.Seen.OwnMoved && !q.Lost {
		changed := slices.Clone(q.Seen.Changed)
		slices.Sort(changed)
		return &Lists{changed: slices.Compact(changed)}, nil
	}
	all := rest{s: s, q: timeline.SharingQuery{
		UserID: q.UserID, Since: timeline.PlaceOf(q.Since), UpTo: timeline.PlaceOf(q.UpTo), Anew: q.Lost,
		ListedBy: changedAfter, ListedAfter: q.Since, Moved: true, Most: mostAtOnce(ctx),
	}}
	if q.Seen != nil {
		all.q.Listed, all.q.Users, all.q.Moved, all.q.ListedAfter = q.Seen.Changed, q.Seen.Moved, false, math.MaxInt64
	}
	if q.Seen == nil && q.Rooms != nil && !q.Lost {
		may, err := s.o.Rooms.MaySharingChange(ctx, all.q, q.Rooms)
		if err != nil {
			return nil, fmt.Errorf("look whether device lists have changed for %s: %w", q.UserID, err)
		}
		if !may {
			return &Lists{}, nil
		}
	}
	if q.Lost {
		all.q.Listed = append(slices.Clone(all.q.Listed), q.UserID)
	}
	l, err := all.read(ctx)
	if err == nil && l.rest != nil {
		err = reserve.Ahead(ctx, int64(l.rest.q.Most)*timeline.SharingCost)
	}
	if err != nil {
		return nil, fmt.Errorf("look which device lists %s has to fetch: %w", q.UserID, err)
	}
	return l, nil
}

// mostAtOnce is how many users one read may bring.
func mostAtOnce(ctx context.Context) int { return int(reserve.Bytes(ctx) / timeline.SharingCost) }

// read reads the next part.
func (r *rest) read(ctx context.Context) (*Lists, error) {
	list, err := r.s.o.Rooms.Sharing(ctx, r.q)
	if err != nil {
		return nil, err
	}
	l := &Lists{}
	for i := range list {
		switch u := &list[i]; {
		case u.UserID == r.q.UserID:
			if u.Listed {
				l.changed = append(l.changed, u.UserID)
			}
		case u.Then && !u.Now, u.EncryptedThen && !u.EncryptedNow:
			l.left = append(l.left, u.UserID)
		case u.Now && (u.Listed || !u.Always):
			l.changed = append(l.changed, u.UserID)
		}
	}
	if n := len(list); n == r.q.Most {
		next := *r
		next.q.After = list[n-1].UserID
		l.rest = &next
	}
	return l, nil
}

// Empty reports whether there is nobody to name.
func (l *Lists) Empty() bool { return len(l.changed)+len(l.left) == 0 && l.rest == nil }

// WriteJSON writes the answer.
func (l *Lists) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"changed":[`...)
	anyLeft := false
	err := l.write(ctx, w, func(part *Lists) []string {
		anyLeft = anyLeft || len(part.left) > 0
		return part.changed
	})
	if err != nil {
		return err
	}
	w.B = append(w.B, `],"left":[`...)
	if anyLeft {
		err = l.write(ctx, w, func(part *Lists) []string { return part.left })
	}
	w.B = append(w.B, `]}`...)
	return err
}

// write writes one list, part by part.
func (l *Lists) write(ctx context.Context, w *reserve.Writer, of func(part *Lists) []string) error {
	begun, held := false, int64(0)
	for part := l; ; {
		for _, userID := range of(part) {
			if begun {
				w.B = append(w.B, ',')
			}
			begun = true
			w.B = event.AppendString(w.B, userID)
			if err := w.Pass(); err != nil {
				return err
			}
		}
		reserve.Drop(ctx, held)
		if part.rest == nil {
			return nil
		}
		before := reserve.Used(ctx)
		next, err := part.rest.read(ctx)
		if err != nil {
			return err
		}
		part, held = next, reserve.Used(ctx)-before
	}
}
