package syncstream

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/personal/presence"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// Answer is what is new for a user: client-server API, GET /sync.
type Answer struct {
	// NextBatch is the token of the answer.
	NextBatch string
	Rooms     []*Room

	*plan
	service *Service
	now     time.Time
}

// empty reports whether there is nothing worth waking a client for. One's own
// presence is not: most often it has changed by asking.
func (a *Answer) empty() bool {
	return len(a.Rooms)+len(a.accountData) == 0 &&
		!slices.ContainsFunc(a.presence, func(st presence.State) bool { return st.UserID != a.UserID })
}

// WriteJSON writes the answer. The lists that are empty stand there all the
// same, as clients of all ages expect.
func (a *Answer) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"account_data":{"events":`...)
	w.B = appendList(w.B, a.accountData)
	w.B = append(w.B, `},"next_batch":`...)
	w.B = event.AppendString(w.B, a.NextBatch)
	w.B = append(w.B, `,"presence":{"events":[`...)
	for i := range a.presence {
		w.B = a.presence[i].AppendJSON(comma(w.B, i), a.now)
	}
	w.B = append(w.B, `]},"rooms":{`...)
	for i, section := range []struct {
		name    string
		section Section
	}{{"invite", Invited}, {"join", Joined}, {"knock", Knocked}, {"leave", Left}} {
		w.B = append(comma(w.B, i), `"`+section.name+`":{`...)
		if err := a.writeSection(ctx, w, section.section); err != nil {
			return err
		}
		w.B = append(w.B, '}')
	}
	w.B = append(w.B, `}}`...)
	return nil
}

// State gives the state of a room that the answer tells of.
func (a *Answer) State(r *Room) *timeline.Cursor { return a.service.Rooms.Cursor(r.State) }

// comma separates the members of a list.
func comma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return dst
}

// separate puts a comma behind the members of a list that has begun.
func separate(dst []byte, begin int) []byte {
	if len(dst) > begin {
		return append(dst, ',')
	}
	return dst
}

// appendList writes a list of what writes itself.
func appendList[T interface{ AppendJSON([]byte) []byte }](dst []byte, list []T) []byte {
	dst = append(dst, '[')
	for i := range list {
		dst = list[i].AppendJSON(comma(dst, i))
	}
	return append(dst, ']')
}

func (a *Answer) writeSection(ctx context.Context, w *reserve.Writer, section Section) error {
	first := true
	for _, r := range a.Rooms {
		if r.Section != section {
			continue
		}
		if !first {
			w.B = append(w.B, ',')
		}
		first = false
		w.B = append(event.AppendString(w.B, r.RoomID), ':')
		var err error
		switch section {
		case Invited:
			err = a.writeStripped(ctx, w, "invite_state", r)
		case Knocked:
			err = a.writeStripped(ctx, w, "knock_state", r)
		default:
			err = a.writeRoom(ctx, w, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *Answer) writeStripped(ctx context.Context, w *reserve.Writer, name string, r *Room) error {
	w.B = append(w.B, `{"`+name+`":{"events":`...)
	err := timeline.WriteList(ctx, w, a.State(r), timeline.AppendStripped)
	w.B = append(w.B, `}}`...)
	return err
}

// writeRoom writes a room that the user is in, or has left.
func (a *Answer) writeRoom(ctx context.Context, w *reserve.Writer, r *Room) error {
	w.B = append(w.B, `{"account_data":{"events":`...)
	w.B = appendList(w.B, r.AccountData)
	if r.Section == Joined {
		w.B = append(w.B, `},"ephemeral":{"events":[`...)
		w.B = append(r.appendEphemeral(w.B), ']')
	}
	w.B = append(w.B, `},`...)
	if r.Summary != nil {
		w.B = appendSummary(w.B, r.Summary)
	}
	w.B = append(w.B, `"`+a.stateName()+`":{"events":`...)
	if err := a.writeState(ctx, w, r); err != nil {
		return err
	}
	w.B = append(w.B, `},"timeline":{"events":`...)
	shown := a.service.Rooms.Cursor(timeline.List{Events: r.Timeline})
	if err := timeline.WriteList(ctx, w, shown, a.eventFormat(r)); err != nil {
		return err
	}
	w.B = append(w.B, `,"limited":`...)
	w.B = strconv.AppendBool(w.B, r.Limited)
	w.B = append(w.B, `,"prev_batch":`...)
	w.B = event.AppendString(w.B, FormatToken(r.PrevBatch))
	w.B = append(w.B, '}')
	if r.Unread != nil {
		w.B = a.appendUnread(w.B, r.Unread)
	}
	w.B = append(w.B, '}')
	return w.Pass()
}

// stateName is the member that holds the state of a room.
func (a *Answer) stateName() string {
	if !a.UseStateAfter {
		return "state"
	}
	return cmp.Or(a.StateAfter, "state_after")
}

// writeState writes the state of a room, and notes the members that were not read
// before.
func (a *Answer) writeState(ctx context.Context, w *reserve.Writer, r *Room) error {
	format := a.eventFormat(r)
	if !a.filter.lazy() || len(r.State.Left) == 0 {
		return timeline.WriteList(ctx, w, a.State(r), format)
	}
	return timeline.WriteList(ctx, w, a.State(r), func(dst []byte, e *timeline.Event) []byte {
		a.service.lazy.remember(a.plan, r, []*timeline.Event{e})
		return format(dst, e)
	})
}

// eventFormat is how the events of a room are written, cut down to the filter's
// event_fields.
func (a *Answer) eventFormat(r *Room) func(dst []byte, e *timeline.Event) []byte {
	f := a.Format(r)
	if a.filter.fields == nil {
		return f.AppendJSON
	}
	var whole []byte
	return func(dst []byte, e *timeline.Event) []byte {
		whole = f.AppendJSON(whole[:0], e)
		dst, _ = a.filter.fields.appendObject(dst, whole)
		return dst
	}
}

func appendSummary(dst []byte, s *timeline.Summary) []byte {
	dst = append(dst, `"summary":{"m.heroes":[`...)
	for i, hero := range s.Heroes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = event.AppendString(dst, hero)
	}
	dst = append(dst, `],"m.invited_member_count":`...)
	dst = strconv.AppendInt(dst, s.Invited, 10)
	dst = append(dst, `,"m.joined_member_count":`...)
	dst = strconv.AppendInt(dst, s.Joined, 10)
	return append(dst, `},`...)
}
