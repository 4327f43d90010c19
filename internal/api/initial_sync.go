package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/presence"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

// initialSyncAnswer is all that a client begins with.
type initialSyncAnswer struct {
	*syncstream.Answer
	rooms []*roomInfo
}

// WriteJSON writes the answer.
func (i initialSyncAnswer) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"account_data":`...)
	w.B = i.AppendAccountData(w.B)
	w.B = append(w.B, `,"end":`...)
	w.B = event.AppendString(w.B, i.NextBatch)
	w.B = append(w.B, `,"presence":`...)
	w.B = appendPresence(w.B, i.Presence(), i.Now())
	w.B = append(w.B, `,"receipts":[`...)
	begin := len(w.B)
	for _, r := range i.Rooms {
		if len(r.Receipts) > 0 {
			w.B = r.AppendReceipts(separate(w.B, begin))
		}
	}
	w.B = append(w.B, `],"rooms":[`...)
	for n, r := range i.rooms {
		if n > 0 {
			w.B = append(w.B, ',')
		}
		w.B = append(w.B, '{')
		if err := r.writeMembers(ctx, w); err != nil {
			return err
		}
		w.B = append(w.B, '}')
	}
	w.B = append(w.B, `]}`...)
	return nil
}

// separate puts a comma behind the members of a list that has begun.
func separate(dst []byte, begin int) []byte {
	if len(dst) > begin {
		return append(dst, ',')
	}
	return dst
}

func appendPresence(dst []byte, states []presence.State, now time.Time) []byte {
	dst = append(dst, '[')
	begin := len(dst)
	for i := range states {
		dst = states[i].AppendOldJSON(separate(dst, begin), now)
	}
	return append(dst, ']')
}

// roomInfo is a room as /initialSync shows it: RoomInfo of the specification.
type roomInfo struct {
	format      timeline.Format
	roomID      string
	membership  string // "": never had one
	visibility  string
	invite      *timeline.Event // that the user has not answered
	accountData []*accountdata.Item
	// What who is, or was, in the room gets; nil for others.
	history *roomHistory
}

// roomHistory is the newest messages and the state of a room.
type roomHistory struct {
	events     []*timeline.Event
	start, end journal.Position
	state      *timeline.Cursor
}

// writeMembers writes the members of the room's object.
func (i *roomInfo) writeMembers(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `"account_data":[`...)
	begin := len(w.B)
	for _, item := range i.accountData {
		w.B = item.AppendJSON(separate(w.B, begin))
	}
	w.B = append(w.B, ']')
	if i.invite != nil {
		w.B = i.format.AppendJSON(append(w.B, `,"invite":`...), i.invite)
		w.B = event.AppendString(append(w.B, `,"inviter":`...), i.invite.Sender)
	}
	if i.membership != "" {
		w.B = event.AppendString(append(w.B, `,"membership":`...), i.membership)
	}
	if h := i.history; h != nil {
		w.B = i.format.AppendEvents(append(w.B, `,"messages":{"chunk":`...), h.events)
		w.B = event.AppendString(append(w.B, `,"end":`...), syncstream.FormatToken(h.end))
		w.B = event.AppendString(append(w.B, `,"start":`...), syncstream.FormatToken(h.start))
		w.B = append(w.B, '}')
	}
	w.B = event.AppendString(append(w.B, `,"room_id":`...), i.roomID)
	if h := i.history; h != nil {
		w.B = append(w.B, `,"state":`...)
		if err := i.format.WriteEvents(ctx, w, h.state); err != nil {
			return err //nolint:wrapcheck // it becomes the answer
		}
	}
	w.B = event.AppendString(append(w.B, `,"visibility":`...), i.visibility)
	return w.Pass() //nolint:wrapcheck // it is the connection's own
}

// initialSync gives all rooms with their state and newest messages, and the token
// from which /events goes on. Section "Syncing" of r0, GET /initialSync.
func (a *API) initialSync(r *http.Request, who matrix.Session) (any, error) {
	archived, err := queryBool(r, "archived")
	if err != nil {
		return nil, err
	}
	answer, err := a.snapshot(r, who, archived, nil)
	if err != nil {
		return nil, err
	}
	result := initialSyncAnswer{Answer: answer}
	ids := make([]string, len(answer.Rooms))
	for i, room := range answer.Rooms {
		ids[i] = room.RoomID
	}
	listed, err := a.published.ListedAmong(r.Context(), ids)
	if err != nil {
		return nil, err
	}
	for _, room := range answer.Rooms {
		result.rooms = append(result.rooms, a.roomInfo(r, answer, room, listed[room.RoomID]))
	}
	return result, nil
}

// snapshot is /sync without a token, with the state as it is now. The user is shown
// as online, as by /events, which is to follow.
func (a *API) snapshot(r *http.Request, who matrix.Session, archived bool, only []string) (*syncstream.Answer, error) {
	limit, err := queryInt(r, "limit", timeline.DefaultLimit)
	if err != nil {
		return nil, err
	}
	room := map[string]any{"include_leave": archived, "timeline": map[string]int{"limit": min(limit, timeline.MaxLimit)}}
	if only != nil {
		room["rooms"] = only
	}
	filter, err := json.Marshal(map[string]any{"room": room})
	if err != nil {
		return nil, fmt.Errorf("encode the filter of a snapshot: %w", err)
	}
	return a.stream.Sync(r.Context(), syncstream.Query{
		UserID: who.UserID, DeviceID: who.DeviceID, Filter: string(filter), UseStateAfter: true,
	})
}

// roomInfo shows a room of a snapshot.
func (a *API) roomInfo(r *http.Request, answer *syncstream.Answer, room *syncstream.Room, listed bool) *roomInfo {
	info := &roomInfo{
		format: answer.Format(room), roomID: room.RoomID, membership: room.Access.MembershipAt(room.End()),
		visibility: visibilityOf(listed), accountData: room.AccountData,
	}
	info.format.WithRoomID, info.format.V1 = true, isV1(r)
	switch {
	case room.Section == syncstream.Invited:
		state := room.State.Events
		info.format.InviteState = state
		i := slices.IndexFunc(state, func(e *timeline.Event) bool { return e.IsState(event.TypeMember, answer.UserID) })
		if i >= 0 {
			info.invite = state[i]
		}
	case room.WasIn():
		info.history = &roomHistory{room.Timeline, room.PrevBatch, room.End(), answer.State(room)}
	}
	return info
}

func visibilityOf(listed bool) string {
	if listed {
		return visibilityPublic
	}
	return visibilityPrivate
}

// roomSyncAnswer is one room, with who is online in it.
type roomSyncAnswer struct {
	*roomInfo
	room     *syncstream.Room // nil for who is not in it
	presence []presence.State
	now      time.Time
}

// WriteJSON writes the answer.
func (s roomSyncAnswer) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, '{')
	if err := s.writeMembers(ctx, w); err != nil {
		return err
	}
	w.B = append(w.B, `,"presence":`...)
	w.B = appendPresence(w.B, s.presence, s.now)
	w.B = append(w.B, `,"receipts":[`...)
	if s.room != nil && len(s.room.Receipts) > 0 {
		w.B = s.room.AppendReceipts(w.B)
	}
	w.B = append(w.B, `]}`...)
	return nil
}

// roomInitialSync gives a room with its state and newest messages: as it is to who
// is in it or where anybody may look in, as it was to who has left. M_FORBIDDEN for
// others. Section "Room Previews", GET /rooms/{roomId}/initialSync.
func (a *API) roomInitialSync(r *http.Request, who matrix.Session) (any, error) {
	roomID := param(r, "roomId")
	answer, err := a.snapshot(r, who, true, []string{roomID})
	if err != nil {
		return nil, err
	}
	if len(answer.Rooms) == 0 || !answer.Rooms[0].WasIn() {
		return a.preview(r, who, roomID)
	}
	room := answer.Rooms[0]
	listed, err := a.published.Listed(r.Context(), roomID)
	if err != nil {
		return nil, err
	}
	result := roomSyncAnswer{roomInfo: a.roomInfo(r, answer, room, listed), room: room, now: answer.Now()}
	if room.Section == syncstream.Joined {
		result.presence, err = a.presenceIn(r.Context(), who.UserID, roomID)
	}
	return result, err
}

// presenceIn lists those in a room who are not offline.
func (a *API) presenceIn(ctx context.Context, userID, roomID string) ([]presence.State, error) {
	nid, err := a.timeline.Number(ctx, roomID)
	if err != nil {
		return nil, err
	}
	return a.presence.Changed(userID, 0, func(in journal.RoomNID) bool { return in == nid }, nil), nil
}

// preview gives a room to who is not in it, if anybody may look in.
func (a *API) preview(r *http.Request, who matrix.Session, roomID string) (any, error) {
	now := a.journal.Position()
	access, err := a.timeline.Peek(r.Context(), who.UserID, roomID)
	if err != nil {
		return nil, err
	}
	limit, err := queryInt(r, "limit", timeline.DefaultLimit)
	if err != nil {
		return nil, err
	}
	page, err := a.timeline.Messages(r.Context(), who.UserID, roomID, timeline.Page{Backward: true, From: &now, Limit: limit})
	if err != nil {
		return nil, err
	}
	state, _, err := a.timeline.State(r.Context(), who.UserID, roomID)
	if err != nil {
		return nil, err
	}
	listed, err := a.published.Listed(r.Context(), roomID)
	if err != nil {
		return nil, err
	}
	slices.Reverse(page.Events)
	info := &roomInfo{
		format: a.format(r, who, access), roomID: roomID, visibility: visibilityOf(listed),
		history: &roomHistory{page.Events, page.End, now, state},
	}
	if membership, since := access.Membership(); since > 0 {
		info.membership = membership
	}
	return roomSyncAnswer{roomInfo: info, now: a.now()}, nil
}
