package syncstream

import (
	"strconv"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms"
)

// Answer is what is new for a user: client-server API, GET /sync.
type Answer struct {
	NextBatch journal.Position
	Rooms     []*Room

	*request
	now time.Time
}

func (a *Answer) empty() bool { return len(a.Rooms) == 0 }

// AppendJSON writes the answer. The lists that are empty stand there all the
// same, as clients of all ages expect.
func (a *Answer) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"account_data":{"events":[]},"next_batch":`...)
	dst = event.AppendString(dst, FormatToken(a.NextBatch))
	dst = append(dst, `,"presence":{"events":[]},"rooms":{"invite":{`...)
	dst = a.appendSection(dst, Invited)
	dst = append(dst, `},"join":{`...)
	dst = a.appendSection(dst, Joined)
	dst = append(dst, `},"knock":{`...)
	dst = a.appendSection(dst, Knocked)
	dst = append(dst, `},"leave":{`...)
	dst = a.appendSection(dst, Left)
	return append(dst, `}}}`...)
}

func (a *Answer) appendSection(dst []byte, section Section) []byte {
	first := true
	for _, r := range a.Rooms {
		if r.Section != section {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = event.AppendString(dst, r.RoomID)
		dst = append(dst, ':')
		switch section {
		case Invited:
			dst = appendStripped(dst, "invite_state", r.State)
		case Knocked:
			dst = appendStripped(dst, "knock_state", r.State)
		default:
			dst = a.appendRoom(dst, r)
		}
	}
	return dst
}

func appendStripped(dst []byte, name string, state []*rooms.Event) []byte {
	dst = append(dst, `{"`+name+`":{"events":[`...)
	for i, e := range state {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = rooms.AppendStripped(dst, e)
	}
	return append(dst, `]}}`...)
}

// appendRoom writes a room that one is in, or has left.
func (a *Answer) appendRoom(dst []byte, r *Room) []byte {
	dst = append(dst, `{"account_data":{"events":[]},`...)
	if r.Section == Joined {
		dst = append(dst, `"ephemeral":{"events":[]},`...)
	}
	if r.Summary != nil {
		dst = appendSummary(dst, r.Summary)
	}
	name := `"state":{"events":`
	if a.UseStateAfter {
		name = `"state_after":{"events":`
	}
	dst = append(dst, name...)
	dst = a.appendEvents(dst, r, r.State)
	dst = append(dst, `},"timeline":{"events":`...)
	dst = a.appendEvents(dst, r, r.Timeline)
	dst = append(dst, `,"limited":`...)
	dst = strconv.AppendBool(dst, r.Limited)
	dst = append(dst, `,"prev_batch":`...)
	dst = event.AppendString(dst, FormatToken(r.PrevBatch))
	dst = append(dst, '}')
	if r.Section == Joined {
		dst = append(dst, `,"unread_notifications":{}`...)
	}
	return append(dst, '}')
}

func (a *Answer) appendEvents(dst []byte, r *Room, events []*rooms.Event) []byte {
	f := rooms.Format{
		Now: a.now, UserID: a.UserID, DeviceID: a.DeviceID, Access: r.Access,
		Federation: a.filter.EventFormat == "federation",
	}
	if a.filter.fields == nil {
		return f.AppendEvents(dst, events)
	}
	return a.filter.fields.appendEvents(dst, &f, events)
}

func appendSummary(dst []byte, s *rooms.Summary) []byte {
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
