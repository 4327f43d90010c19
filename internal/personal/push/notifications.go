package push

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// How many notifications one call returns, by default and at most.
const (
	DefaultNotifications = 20
	MaxNotifications     = 200
)

// NotificationQuery asks for notifications, newest first.
type NotificationQuery struct {
	UserID string
	// From is the newest place to look at; nil: now.
	From *timeline.Place
	// Limit is how many to return, MaxNotifications at most.
	Limit int
	// Highlights leaves out notifications without a highlight.
	Highlights bool
}

// Notification is an event that a user was notified of: client-server API,
// GET /notifications.
type Notification struct {
	Event   *timeline.Event
	Actions []json.RawMessage
	Read    bool
	// Access is the user's access to the room.
	Access *timeline.Access
}

// NotificationPage is some notifications, newest first. Next is where to go on; nil:
// there are no more.
type NotificationPage struct {
	List []Notification
	Next *timeline.Place
}

// How much one call reads: so many rounds, each of a number of events that is spread
// over the rooms, each of which gets between least and most.
const (
	notificationRounds = 5
	notificationEvents = 2000
	leastOfRoom        = 2
	mostOfRoom         = 100
)

// Notifications lists what a user was notified of in the rooms that the user is in or
// invited to, by the rules as they are now. One call reads a bounded number of events:
// it may return less than the limit, even nothing, and a token to go on. Client-server
// API, "Listing Notifications".
func (s *Service) Notifications(ctx context.Context, q NotificationQuery) (*NotificationPage, error) {
	l := &listing{s: s, q: q, now: s.journal.Position(), access: map[journal.RoomNID]*timeline.Access{}}
	l.limit = max(1, min(q.Limit, MaxNotifications))
	l.at = timeline.PlaceOf(l.now)
	if q.From != nil {
		l.at = min(*q.From, l.at)
	}
	var err error
	if l.evaluation, err = s.newEvaluation(ctx, q.UserID); err != nil {
		return nil, err
	}
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	for range notificationRounds {
		if l.at <= 0 || len(l.page.List) == l.limit {
			break
		}
		if err := l.round(ctx); err != nil {
			return nil, fmt.Errorf("list the notifications of %s: %w", q.UserID, err)
		}
	}
	if l.at > 0 {
		l.page.Next = &l.at
	}
	return &l.page, l.markRead(ctx)
}

// listing is the work of one call.
type listing struct {
	*evaluation
	s       *Service
	q       NotificationQuery
	limit   int
	now     journal.Position
	at      timeline.Place // the newest place to look at
	joined  []journal.RoomNID
	access  map[journal.RoomNID]*timeline.Access
	windows []timeline.Window
	page    NotificationPage
}

// open finds where there may be notifications: in the rooms that the user is in,
// since then, and the invitations that are open.
func (l *listing) open(ctx context.Context) error {
	standings, err := l.s.rooms.Standings(ctx, l.q.UserID)
	if err != nil {
		return err
	}
	for _, st := range standings {
		if st.Forgotten || len(st.Memberships) == 0 {
			continue
		}
		l.access[st.Room] = st.Access()
		switch last := st.Memberships.Last(); last.Value {
		case event.Join:
			l.joined = append(l.joined, st.Room)
			l.windows = append(l.windows, timeline.Window{Room: st.Room, Range: timeline.Range{From: st.Memberships.HeldSince(), To: timeline.PlaceOf(l.now)}})
		case event.Invite:
			l.windows = append(l.windows, timeline.Window{Room: st.Room, Range: timeline.Range{From: last.From, To: last.From}})
		}
	}
	return nil
}

// round evaluates the newest events that have not been evaluated yet.
func (l *listing) round(ctx context.Context) error {
	var windows []timeline.Window
	for _, w := range l.windows {
		if w.To = min(w.To, l.at); w.From <= w.To {
			windows = append(windows, w)
		}
	}
	if len(windows) == 0 {
		l.at = 0
		return nil
	}
	each := max(leastOfRoom, min(notificationEvents/len(windows), mostOfRoom))
	list, err := l.s.rooms.Newest(ctx, windows, each-1)
	if err != nil {
		return err
	}
	events := list.Events
	known := knownSince(events, each)
	for _, left := range list.Left {
		known = max(known, left.Place+1)
	}
	end := slices.IndexFunc(events, func(e *timeline.Event) bool { return e.Place < known })
	if end >= 0 {
		events = events[:end]
	}
	if err := l.s.enter(ctx, l.evaluation, events); err != nil {
		return err
	}
	l.at = known - 1
	l.add(events)
	return nil
}

// knownSince returns the place since which the events, newest first, are all that
// there are, if so many of each room were read; 0: since ever.
func knownSince(events []*timeline.Event, each int) (since timeline.Place) {
	seen := map[journal.RoomNID]int{}
	for _, e := range events {
		if seen[e.Room]++; seen[e.Room] == each {
			since = max(since, e.Place)
		}
	}
	return since
}

// add adds the events that the rules notify of, until there are enough.
func (l *listing) add(events []*timeline.Event) {
	for _, e := range events {
		if l.isUnwanted(e, l.q.UserID) {
			continue
		}
		outcome := l.outcome(e)
		if !outcome.Notify || l.q.Highlights && !outcome.Highlight {
			continue
		}
		if len(l.page.List) == l.limit {
			l.at = l.page.List[l.limit-1].Event.Place - 1
			return
		}
		l.page.List = append(l.page.List, Notification{Event: e, Actions: outcome.Actions, Access: l.access[e.Room]})
	}
}

// markRead marks what has been read in the list. An invitation is unread for as long as
// it is open.
func (l *listing) markRead(ctx context.Context) error {
	var nids []journal.RoomNID
	for _, n := range l.page.List {
		if _, ok := slices.BinarySearch(l.joined, n.Event.Room); ok {
			nids = append(nids, n.Event.Room)
		}
	}
	slices.Sort(nids)
	nids = slices.Compact(nids)
	unread, err := l.s.unreadPlaces(ctx, l.q.UserID, nids, l.now)
	if err != nil {
		return fmt.Errorf("find what %s has not read: %w", l.q.UserID, err)
	}
	for i := range l.page.List {
		n := &l.page.List[i]
		_, joined := slices.BinarySearch(nids, n.Event.Room)
		n.Read = joined && !unread[n.Event.Place]
	}
	return nil
}
