package syncstream

import (
	"maps"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/typing"
	"homeserver/internal/rooms/timeline"
)

// Format is how the answer writes the events of a room, but for the filter's
// event_fields.
func (a *Answer) Format(r *Room) timeline.Format {
	return timeline.Format{
		Now: a.now, UserID: a.UserID, DeviceID: a.DeviceID, Access: r.Access,
		Federation: a.filter.EventFormat == "federation",
	}
}

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
