package api

import (
	"net/http"
	"strconv"

	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

// syncV2Alpha is sync in the shape that it had in v2_alpha, of which the text is
// the specification of October 2015.
func (a *API) syncV2Alpha(r *http.Request, who auth.Session) (any, error) {
	q, err := syncQuery(r, who)
	if err != nil {
		return nil, err
	}
	answer, err := a.stream.Sync(r.Context(), q)
	if err != nil {
		return nil, err
	}
	return syncV2AlphaAnswer{answer}, nil
}

// errNoStream answers clients that would rather have a WebSocket.
var errNoStream = &matrix.Error{
	Code: matrix.Unknown, Status: http.StatusForbidden,
	Message: "Events over WebSockets have never left their draft: ask GET /sync again and again",
}

// noStream refuses the WebSocket that a draft of November 2015 wanted to have.
// Clients were to use /sync then.
func (a *API) noStream(*http.Request) (any, error) { return nil, errNoStream }

// syncV2AlphaAnswer is what is new, with other names for the sections of rooms, and
// the events of a room in a map by their IDs.
type syncV2AlphaAnswer struct{ *syncstream.Answer }

// AppendJSON writes the answer. There was no knocking yet.
func (s syncV2AlphaAnswer) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"account_data":{"events":`...)
	dst = s.AppendAccountData(dst)
	dst = append(dst, `},"next_batch":`...)
	dst = event.AppendString(dst, s.NextBatch)
	dst = append(dst, `,"presence":{"events":`...)
	dst = appendPresence(dst, s.Presence(), s.Now())
	dst = append(dst, `},"rooms":{"archived":{`...)
	dst = s.appendSection(dst, syncstream.Left)
	dst = append(dst, `},"invited":{`...)
	dst = s.appendSection(dst, syncstream.Invited)
	dst = append(dst, `},"joined":{`...)
	dst = s.appendSection(dst, syncstream.Joined)
	return append(dst, `}}}`...)
}

func (s syncV2AlphaAnswer) appendSection(dst []byte, section syncstream.Section) []byte {
	begin := len(dst)
	for _, r := range s.Rooms {
		if r.Section != section {
			continue
		}
		dst = append(event.AppendString(separate(dst, begin), r.RoomID), ':')
		if section == syncstream.Invited {
			dst = rooms.AppendStrippedEvents(append(dst, `{"invite_state":{"events":`...), r.State)
			dst = append(dst, `}}`...)
			continue
		}
		dst = s.appendRoom(dst, r)
	}
	return dst
}

func (s syncV2AlphaAnswer) appendRoom(dst []byte, r *syncstream.Room) []byte {
	dst = append(dst, `{"account_data":{"events":[`...)
	begin := len(dst)
	for _, item := range r.AccountData {
		dst = item.AppendJSON(separate(dst, begin))
	}
	dst = append(dst, `]}`...)
	if r.Section == syncstream.Joined {
		dst = append(dst, `,"ephemeral":{"events":[`...)
		begin = len(dst)
		if len(r.Receipts) > 0 {
			dst = r.AppendReceipts(dst)
		}
		if r.NewTyping {
			dst = r.AppendTyping(separate(dst, begin))
		}
		dst = append(dst, `]}`...)
	}
	dst = append(s.appendEventMap(append(dst, `,"event_map":{`...), r), '}')
	dst = appendIDs(append(dst, `,"state":{"events":`...), r.State)
	dst = appendIDs(append(dst, `},"timeline":{"events":`...), r.Timeline)
	dst = strconv.AppendBool(append(dst, `,"limited":`...), r.Limited)
	dst = event.AppendString(append(dst, `,"prev_batch":`...), syncstream.FormatToken(r.PrevBatch))
	return append(dst, `}}`...)
}

// appendEventMap writes the events of the state and of the timeline, each once.
func (s syncV2AlphaAnswer) appendEventMap(dst []byte, r *syncstream.Room) []byte {
	begin := len(dst)
	written := map[string]bool{}
	for _, list := range [][]*rooms.Event{r.State, r.Timeline} {
		for _, e := range list {
			if written[e.ID] {
				continue
			}
			written[e.ID] = true
			dst = append(event.AppendString(separate(dst, begin), e.ID), ':')
			dst = s.AppendEvent(dst, r, e)
		}
	}
	return dst
}

func appendIDs(dst []byte, events []*rooms.Event) []byte {
	dst = append(dst, '[')
	begin := len(dst)
	for _, e := range events {
		dst = event.AppendString(separate(dst, begin), e.ID)
	}
	return append(dst, ']')
}
