package syncstream

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/presence"
	"homeserver/internal/rooms"
)

// Answer is what is new for a user: client-server API, GET /sync.
type Answer struct {
	// NextBatch is the token of the answer.
	NextBatch string
	Rooms     []*Room

	*plan
	now time.Time
}

// empty reports whether there is nothing worth waking a client for. One's own
// presence is not: most often it has changed by asking.
func (a *Answer) empty() bool {
	return len(a.Rooms)+len(a.accountData) == 0 &&
		!slices.ContainsFunc(a.presence, func(st presence.State) bool { return st.UserID != a.UserID })
}

// AppendJSON writes the answer. The lists that are empty stand there all the
// same, as clients of all ages expect.
func (a *Answer) AppendJSON(dst []byte) []byte {
	dst = slices.Grow(dst, a.sizeOfEvents())
	dst = append(dst, `{"account_data":{"events":`...)
	dst = appendList(dst, a.accountData)
	dst = append(dst, `},"next_batch":`...)
	dst = event.AppendString(dst, a.NextBatch)
	dst = append(dst, `,"presence":{"events":[`...)
	for i := range a.presence {
		dst = a.presence[i].AppendJSON(comma(dst, i), a.now)
	}
	dst = append(dst, `]},"rooms":{"invite":{`...)
	dst = a.appendSection(dst, Invited)
	dst = append(dst, `},"join":{`...)
	dst = a.appendSection(dst, Joined)
	dst = append(dst, `},"knock":{`...)
	dst = a.appendSection(dst, Knocked)
	dst = append(dst, `},"leave":{`...)
	dst = a.appendSection(dst, Left)
	return append(dst, `}}}`...)
}

// sizeOfEvents is about how many bytes the events of rooms take.
func (a *Answer) sizeOfEvents() int {
	const besideContent = 300 // IDs, the time, and what stands in unsigned
	n := 0
	for _, r := range a.Rooms {
		for _, events := range [][]*rooms.Event{r.State, r.Timeline} {
			for _, e := range events {
				n += len(e.Content()) + besideContent
			}
		}
	}
	return n
}

// comma separates the members of a list.
func comma(dst []byte, i int) []byte {
	if i > 0 {
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
	dst = append(dst, `{"`+name+`":{"events":`...)
	return append(rooms.AppendStrippedEvents(dst, state), `}}`...)
}

// appendRoom writes a room that one is in, or has left.
func (a *Answer) appendRoom(dst []byte, r *Room) []byte {
	dst = append(dst, `{"account_data":{"events":`...)
	dst = appendList(dst, r.AccountData)
	if r.Section == Joined {
		dst = append(dst, `},"ephemeral":{"events":[`...)
		dst = append(r.appendEphemeral(dst), ']')
	}
	dst = append(dst, `},`...)
	if r.Summary != nil {
		dst = appendSummary(dst, r.Summary)
	}
	dst = append(dst, `"`+a.stateName()+`":{"events":`...)
	dst = a.appendEvents(dst, r, r.State)
	dst = append(dst, `},"timeline":{"events":`...)
	dst = a.appendEvents(dst, r, r.Timeline)
	dst = append(dst, `,"limited":`...)
	dst = strconv.AppendBool(dst, r.Limited)
	dst = append(dst, `,"prev_batch":`...)
	dst = event.AppendString(dst, FormatToken(r.PrevBatch))
	dst = append(dst, '}')
	if r.Unread != nil {
		dst = a.appendUnread(dst, r.Unread)
	}
	return append(dst, '}')
}

// stateName is the member that holds the state of a room.
func (a *Answer) stateName() string {
	if !a.UseStateAfter {
		return "state"
	}
	return cmp.Or(a.StateAfter, "state_after")
}

func (a *Answer) appendEvents(dst []byte, r *Room, events []*rooms.Event) []byte {
	f := a.Format(r)
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
