package syncstream

import (
	"context"
	"slices"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/presence"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// InitialQuery is a request for all that a client begins with, in the generations before
// /sync.
type InitialQuery struct {
	UserID, DeviceID string
	// Limit is how many messages are shown of each room.
	Limit int
	// Archived asks for the rooms that the user has left, too.
	Archived bool
	// V1 asks for events in the format of api/v1.
	V1 bool
}

// InitialSync is all rooms with their state and newest messages, and the token from which
// /events goes on.
type InitialSync struct {
	// Listed reports of the rooms which are in the published directory.
	Listed map[string]bool

	answer *Answer
	v1     bool
}

// InitialSync is Sync without a token, with the state as it is now. The user is shown
// as online, as by /events, which is to follow. Client-server API r0, GET /initialSync.
func (s *Service) InitialSync(ctx context.Context, q InitialQuery) (*InitialSync, error) {
	answer, err := s.snapshot(ctx, q, nil)
	if err != nil {
		return nil, err
	}
	return &InitialSync{answer: answer, v1: q.V1}, nil
}

func (s *Service) snapshot(ctx context.Context, q InitialQuery, only *[]string) (*Answer, error) {
	f := &Filter{rooms: &timeline.EventFilter{Rooms: only}}
	f.Room.IncludeLeave = q.Archived
	f.Room.Timeline = &timeline.EventFilter{Limit: &q.Limit}
	if err := f.rooms.Check(); err != nil {
		return nil, err
	}
	return s.sync(ctx, &request{
		Query: Query{UserID: q.UserID, DeviceID: q.DeviceID, UseStateAfter: true}, filter: f, initial: true, noToDevice: true,
	})
}

// RoomIDs lists the rooms.
func (i *InitialSync) RoomIDs() []string {
	ids := make([]string, len(i.answer.plan.rooms))
	for n, r := range i.answer.plan.rooms {
		ids[n] = r.id
	}
	return ids
}

// WriteJSON writes the answer.
func (i *InitialSync) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"account_data":`...)
	if err := i.answer.plan.writeAccountData(ctx, w); err != nil {
		return err
	}
	w.B = append(w.B, `,"end":`...)
	w.B = event.AppendString(w.B, i.answer.NextBatch)
	w.B = append(w.B, `,"presence":`...)
	w.B = presence.AppendOldList(w.B, i.answer.plan.presence, i.answer.plan.now)
	w.B = append(w.B, `,"receipts":[`...)
	l := &list{w: w}
	for _, r := range i.answer.plan.rooms {
		if err := i.answer.plan.writeReceiptsIn(ctx, l, r); err != nil {
			return err
		}
	}
	w.B = append(w.B, `],"rooms":[`...)
	for n, r := range i.answer.plan.rooms {
		w.B = append(comma(w.B, n), '{')
		if err := i.answer.info(r, i.v1, i.Listed[r.id]).writeMembers(ctx, w); err != nil {
			return err
		}
		w.B = append(w.B, '}')
	}
	w.B = append(w.B, `]}`...)
	return nil
}

// roomInfo is a room as /initialSync shows it: RoomInfo of the specification.
type roomInfo struct {
	format     timeline.Format
	roomID     string
	membership string // "": never had one
	listed     bool
	invite     *timeline.Event // that the user has not answered
	// plan is that of room; nil for a user who was never in it.
	plan *plan
	room *room
	// history is that of the room for users who are in it, or were; nil for others.
	history *roomHistory
}

// roomHistory is the newest messages and the state of a room.
type roomHistory struct {
	events     []*timeline.Event
	start, end timeline.Place
	state      *timeline.Cursor
}

// info shows a room of the answer.
func (a *Answer) info(r *room, v1, listed bool) *roomInfo {
	info := &roomInfo{
		format: a.format(r), roomID: r.id, membership: r.access.MembershipAt(r.upTo), listed: listed, plan: a.plan, room: r,
	}
	info.format.WithRoomID, info.format.V1 = true, v1
	switch {
	case r.section == invited:
		state := r.state.Events
		info.format.InviteState = state
		i := slices.IndexFunc(state, func(e *timeline.Event) bool { return e.IsState(event.TypeMember, a.plan.userID) })
		if i >= 0 {
			info.invite = state[i]
		}
	case r.wasIn():
		info.history = &roomHistory{r.timeline, r.prevBatch, r.upTo, a.state(r)}
	}
	return info
}

// wasIn reports whether the user is in the room, or was when it last changed for
// the answer. A user who never was is shown nothing of the state.
func (r *room) wasIn() bool { return r.hasTimeline() && !r.stateHidden }

// writeMembers writes the members of the room's object.
func (i *roomInfo) writeMembers(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `"account_data":`...)
	if i.plan == nil {
		w.B = append(w.B, `[]`...)
	} else if err := i.plan.writeRoomData(ctx, w, i.room); err != nil {
		return err
	}
	if i.invite != nil {
		w.B = i.format.AppendJSON(append(w.B, `,"invite":`...), i.invite)
		w.B = event.AppendString(append(w.B, `,"inviter":`...), i.invite.Sender)
	}
	if i.membership != "" {
		w.B = event.AppendString(append(w.B, `,"membership":`...), i.membership)
	}
	if h := i.history; h != nil {
		w.B = i.format.AppendEvents(append(w.B, `,"messages":{"chunk":`...), h.events)
		w.B = event.AppendString(append(w.B, `,"end":`...), FormatPlace(h.end))
		w.B = event.AppendString(append(w.B, `,"start":`...), FormatPlace(h.start))
		w.B = append(w.B, '}')
	}
	w.B = event.AppendString(append(w.B, `,"room_id":`...), i.roomID)
	if h := i.history; h != nil {
		w.B = append(w.B, `,"state":`...)
		if err := i.format.WriteEvents(ctx, w, h.state); err != nil {
			return err
		}
	}
	visibility := "private"
	if i.listed {
		visibility = "public"
	}
	w.B = event.AppendString(append(w.B, `,"visibility":`...), visibility)
	return w.Pass()
}

// RoomInitialSync is one room, with the presence of its members.
type RoomInitialSync struct {
	// Listed reports whether the room is in the published directory.
	Listed bool

	info     *roomInfo
	presence []presence.State
	now      time.Time
}

// RoomInitialSync returns a room with its state and newest messages: as it is now to
// users who are in it or if anybody may watch it, as it was then to a user who has
// left. M_FORBIDDEN for others. Client-server API r0, "Room Previews", GET
// /rooms/{roomId}/initialSync.
func (s *Service) RoomInitialSync(ctx context.Context, q InitialQuery, roomID string) (*RoomInitialSync, error) {
	q.Archived = true
	answer, err := s.snapshot(ctx, q, &[]string{roomID})
	if err != nil {
		return nil, err
	}
	if len(answer.plan.rooms) == 0 || !answer.plan.rooms[0].wasIn() {
		return s.preview(ctx, q, roomID)
	}
	r := answer.plan.rooms[0]
	result := &RoomInitialSync{info: answer.info(r, q.V1, false), now: answer.plan.now}
	if r.section == joined {
		result.presence = s.Presence.Changed(q.UserID, 0, func(nid journal.RoomNID) bool { return nid == r.nid }, nil)
	}
	return result, nil
}

// preview shows a room to a user who is not in it, if anybody may watch it.
func (s *Service) preview(ctx context.Context, q InitialQuery, roomID string) (*RoomInitialSync, error) {
	now := timeline.PlaceOf(s.Journal.Position())
	access, err := s.Rooms.For(q.UserID).Peek(ctx, roomID)
	if err != nil {
		return nil, err
	}
	page, err := s.Rooms.For(q.UserID).Messages(ctx, roomID, timeline.Page{Backward: true, From: &now, Limit: q.Limit})
	if err != nil {
		return nil, err
	}
	state, _, err := s.Rooms.For(q.UserID).State(ctx, roomID)
	if err != nil {
		return nil, err
	}
	slices.Reverse(page.Events)
	result := &RoomInitialSync{now: s.Now(), info: &roomInfo{roomID: roomID, history: &roomHistory{page.Events, page.End, now, state}}}
	result.info.format = timeline.Format{
		WithRoomID: true, V1: q.V1, Now: result.now, UserID: q.UserID, DeviceID: q.DeviceID, Access: access,
	}
	if membership, since := access.Membership(); since > 0 {
		result.info.membership = membership
	}
	return result, nil
}

// WriteJSON writes the answer.
func (i *RoomInitialSync) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, '{')
	i.info.listed = i.Listed
	if err := i.info.writeMembers(ctx, w); err != nil {
		return err
	}
	w.B = append(w.B, `,"presence":`...)
	w.B = presence.AppendOldList(w.B, i.presence, i.now)
	w.B = append(w.B, `,"receipts":[`...)
	if i.info.plan != nil {
		if err := i.info.plan.writeReceiptsIn(ctx, &list{w: w}, i.info.room); err != nil {
			return err
		}
	}
	w.B = append(w.B, `]}`...)
	return nil
}
