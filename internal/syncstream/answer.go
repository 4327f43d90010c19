package syncstream

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/typing"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// Answer is what is new for a user: client-server API, GET /sync. It writes itself in the
// shape of r0 and later; [V2Alpha] and [InitialSync] are the shapes before it.
type Answer struct {
	// NextBatch is the token of the answer.
	NextBatch string

	plan      *plan // of the rooms that the answer shows
	service   *Service
	stateName string // of the member that holds the state of a room
}

// newAnswer makes the answer of the plan's rooms in which something is new.
func (s *Service) newAnswer(p *plan, r *request) *Answer {
	if p.sliding != nil {
		p.finishSliding(s, r.Since)
		return &Answer{plan: p, service: s}
	}
	p.rooms = p.which(func(r *room) bool { return r.shown })
	if p.byNID != nil { // some may have been added at the end
		slices.SortFunc(p.rooms, func(a, b *room) int { return cmp.Compare(a.nid, b.nid) })
	}
	name := "state"
	if r.UseStateAfter {
		name = cmp.Or(r.StateAfter, "state_after")
	}
	return &Answer{NextBatch: s.token(p, r.Since), plan: p, service: s, stateName: name}
}

// WriteJSON writes the answer. Empty lists are written as well, as clients of all ages
// expect.
func (a *Answer) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"account_data":{"events":`...)
	if err := a.plan.writeAccountData(ctx, w); err != nil {
		return err
	}
	w.B = append(w.B, `},`...)
	if err := a.writeDeviceLists(ctx, w); err != nil {
		return err
	}
	w.B = a.plan.keyCounts.AppendMembers(w.B)
	w.B = append(w.B, `,"next_batch":`...)
	w.B = event.AppendString(w.B, a.NextBatch)
	w.B = append(w.B, `,"presence":{"events":[`...)
	for i := range a.plan.presence {
		w.B = a.plan.presence[i].AppendJSON(comma(w.B, i), a.plan.now)
		if err := w.Pass(); err != nil {
			return err
		}
	}
	w.B = append(w.B, `]},"rooms":{`...)
	for i, section := range []struct {
		name    string
		section section
	}{{"invite", invited}, {"join", joined}, {"knock", knocked}, {"leave", left}} {
		w.B = append(comma(w.B, i), `"`+section.name+`":{`...)
		if err := a.writeSection(ctx, w, section.section); err != nil {
			return err
		}
		w.B = append(w.B, '}')
	}
	w.B = append(w.B, `},`...)
	if err := a.plan.writeToDevice(w); err != nil {
		return err
	}
	w.B = append(w.B, '}')
	a.service.lazy.keep(a.plan)
	return nil
}

// state returns the state of a room, all of which need not be in memory.
func (a *Answer) state(r *room) *timeline.Cursor { return a.service.Rooms.Cursor(r.state) }

// list writes the members of a JSON array, separated by commas.
type list struct {
	w     *reserve.Writer
	begun bool
}

// add writes one member, or several, as a function appends them.
func (l *list) add(appendJSON func(dst []byte) []byte) error {
	if l.begun {
		l.w.B = append(l.w.B, ',')
	}
	l.begun = true
	l.w.B = appendJSON(l.w.B)
	return l.w.Pass()
}

// comma separates the members of a list.
func comma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return dst
}

func (a *Answer) writeSection(ctx context.Context, w *reserve.Writer, section section) error {
	first := true
	for _, r := range a.plan.rooms {
		if r.section != section {
			continue
		}
		if !first {
			w.B = append(w.B, ',')
		}
		first = false
		w.B = append(event.AppendString(w.B, r.id), ':')
		var err error
		switch section {
		case invited:
			err = a.writeStripped(ctx, w, "invite_state", r)
		case knocked:
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

func (a *Answer) writeStripped(ctx context.Context, w *reserve.Writer, name string, r *room) error {
	w.B = append(w.B, `{"`+name+`":{"events":`...)
	err := timeline.WriteList(ctx, w, a.state(r), timeline.AppendStripped)
	w.B = append(w.B, `}}`...)
	return err
}

// writeRoom writes a room that the user is in, or has left.
func (a *Answer) writeRoom(ctx context.Context, w *reserve.Writer, r *room) error {
	w.B = append(w.B, `{"account_data":{"events":`...)
	if err := a.plan.writeRoomData(ctx, w, r); err != nil {
		return err
	}
	if r.section == joined {
		w.B = append(w.B, `},"ephemeral":{"events":[`...)
		if err := a.plan.writeEphemeral(ctx, w, r); err != nil {
			return err
		}
		w.B = append(w.B, ']')
	}
	w.B = append(w.B, `},`...)
	if r.summary != nil {
		w.B = appendSummary(w.B, r.summary)
	}
	w.B = append(w.B, `"`+a.stateName+`":{"events":`...)
	format := a.eventFormat(r)
	if err := timeline.WriteList(ctx, w, a.state(r), format); err != nil {
		return err
	}
	w.B = append(w.B, `},"timeline":{"events":`...)
	shown := a.service.Rooms.Cursor(timeline.List{Events: r.timeline})
	if err := timeline.WriteList(ctx, w, shown, format); err != nil {
		return err
	}
	a.plan.rememberMembers(r)
	w.B = append(w.B, `,"limited":`...)
	w.B = strconv.AppendBool(w.B, r.limited)
	w.B = append(w.B, `,"prev_batch":`...)
	w.B = event.AppendString(w.B, FormatPlace(r.prevBatch))
	w.B = append(w.B, '}')
	if r.unread != nil {
		w.B = a.plan.appendUnread(w.B, r.unread)
	}
	w.B = append(w.B, '}')
	return w.Pass()
}

// eventFormat is how the events of a room are written, cut down to the filter's
// event_fields, and noted where members are loaded lazily.
func (a *Answer) eventFormat(r *room) func(dst []byte, e *timeline.Event) []byte {
	f := a.format(r)
	f.Aggregations = a.plan.aggregations
	format := f.AppendJSON
	if a.plan.filter.fields != nil {
		var whole []byte
		format = func(dst []byte, e *timeline.Event) []byte {
			whole = f.AppendJSON(whole[:0], e)
			dst, _ = a.plan.filter.fields.appendObject(dst, whole)
			return dst
		}
	}
	if a.plan.known == nil {
		return format
	}
	return func(dst []byte, e *timeline.Event) []byte {
		a.plan.noteMember(e)
		return format(dst, e)
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

// format is how the answer writes the events of a room, but for the filter's
// event_fields.
func (a *Answer) format(r *room) timeline.Format {
	return timeline.Format{
		Now: a.plan.now, UserID: a.plan.userID, DeviceID: a.plan.deviceID, Access: r.access,
		Federation: a.plan.filter.EventFormat == "federation",
	}
}

// writeEphemeral writes the receipts of a room and the users typing in it.
func (p *plan) writeEphemeral(ctx context.Context, w *reserve.Writer, r *room) error {
	l := &list{w: w}
	err := p.writeReceipts(ctx, l, r, receipts.AppendEvents)
	if err != nil || !r.typingChanged {
		return err
	}
	return l.add(func(dst []byte) []byte { return typing.AppendJSON(dst, r.typing) })
}
