package syncstream

import (
	"maps"
	"slices"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/typing"
	"homeserver/internal/rooms/timeline"
)

// What stands in this file gives out the parts of an answer, for the generations of
// the API that put them together in another way.

// Now is the time of the answer.
func (a *Answer) Now() time.Time { return a.now }

// Presence lists the users whose presence is new.
func (a *Answer) Presence() []presence.State { return a.presence }

// AppendAccountData writes the list of what is new of the whole account's data.
func (a *Answer) AppendAccountData(dst []byte) []byte { return appendList(dst, a.accountData) }

// Format is how the answer writes the events of a room, but for the filter's
// event_fields.
func (a *Answer) Format(r *Room) timeline.Format {
	return timeline.Format{
		Now: a.now, UserID: a.UserID, DeviceID: a.DeviceID, Access: r.Access,
		Federation: a.filter.EventFormat == "federation",
	}
}

// AppendEvent writes one event of a room without its ID, cut down to the filter's
// event_fields.
func (a *Answer) AppendEvent(dst []byte, r *Room, e *timeline.Event) []byte {
	f := a.Format(r)
	f.WithoutID = true
	if a.filter.fields == nil {
		return f.AppendJSON(dst, e)
	}
	dst, _ = a.filter.fields.appendObject(dst, f.AppendJSON(nil, e))
	return dst
}

// End is where the room's timeline ends in the answer.
func (r *Room) End() journal.Position { return r.upTo }

// WasIn reports whether the user is in the room, or was when it last changed for
// the answer. Who never was is told nothing of the state.
func (r *Room) WasIn() bool { return r.hasTimeline() && !r.secret }

// AppendReceipts writes the m.receipt events of the room with their room_id,
// separated by commas.
func (r *Room) AppendReceipts(dst []byte) []byte { return appendReceiptsIn(dst, r.RoomID, r.Receipts) }

// AppendTyping writes the m.typing event of the room with its room_id.
func (r *Room) AppendTyping(dst []byte) []byte { return appendTypingIn(dst, r.RoomID, r.Typing) }

// appendReceiptsIn writes one event for each thread, as [receipts.AppendEvents] does.
func appendReceiptsIn(dst []byte, roomID string, list []*receipts.Receipt) []byte {
	byThread := map[string][]*receipts.Receipt{}
	for _, r := range list {
		byThread[r.ThreadID] = append(byThread[r.ThreadID], r)
	}
	for i, thread := range slices.Sorted(maps.Keys(byThread)) {
		dst = appendRoomID(receipts.AppendEvents(comma(dst, i), byThread[thread]), roomID)
	}
	return dst
}

func appendTypingIn(dst []byte, roomID string, users []string) []byte {
	return appendRoomID(typing.AppendJSON(dst, users), roomID)
}

// appendRoomID adds room_id to the event that was written last.
func appendRoomID(dst []byte, roomID string) []byte {
	dst = append(dst[:len(dst)-1], `,"room_id":`...)
	return append(event.AppendString(dst, roomID), '}')
}
