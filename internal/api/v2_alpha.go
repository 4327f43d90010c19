package api

import (
	"context"
	"net/http"
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

// syncV2Alpha is sync in the shape that it had in v2_alpha, of which the text is
// the specification of October 2015.
func (a *API) syncV2Alpha(r *http.Request, who matrix.Session) (any, error) {
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

// WriteJSON writes the answer. There was no knocking yet.
func (s syncV2AlphaAnswer) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"account_data":{"events":`...)
	w.B = s.AppendAccountData(w.B)
	w.B = append(w.B, `},"next_batch":`...)
	w.B = event.AppendString(w.B, s.NextBatch)
	w.B = append(w.B, `,"presence":{"events":`...)
	w.B = appendPresence(w.B, s.Presence(), s.Now())
	w.B = append(w.B, `},"rooms":{"archived":{`...)
	if err := s.writeSection(ctx, w, syncstream.Left); err != nil {
		return err
	}
	w.B = append(w.B, `},"invited":{`...)
	if err := s.writeSection(ctx, w, syncstream.Invited); err != nil {
		return err
	}
	w.B = append(w.B, `},"joined":{`...)
	if err := s.writeSection(ctx, w, syncstream.Joined); err != nil {
		return err
	}
	w.B = append(w.B, `}}}`...)
	return nil
}

func (s syncV2AlphaAnswer) writeSection(ctx context.Context, w *reserve.Writer, section syncstream.Section) error {
	first := true
	for _, r := range s.Rooms {
		if r.Section != section {
			continue
		}
		if !first {
			w.B = append(w.B, ',')
		}
		first = false
		w.B = append(event.AppendString(w.B, r.RoomID), ':')
		if section != syncstream.Invited {
			if err := s.writeRoom(ctx, w, r); err != nil {
				return err
			}
			continue
		}
		w.B = append(w.B, `{"invite_state":{"events":`...)
		if err := timeline.WriteList(ctx, w, s.State(r), timeline.AppendStripped); err != nil {
			return err //nolint:wrapcheck // it becomes the answer
		}
		w.B = append(w.B, `}}`...)
	}
	return nil
}

func (s syncV2AlphaAnswer) writeRoom(ctx context.Context, w *reserve.Writer, r *syncstream.Room) error {
	w.B = append(w.B, `{"account_data":{"events":[`...)
	begin := len(w.B)
	for _, item := range r.AccountData {
		w.B = item.AppendJSON(separate(w.B, begin))
	}
	w.B = append(w.B, `]}`...)
	if r.Section == syncstream.Joined {
		w.B = append(w.B, `,"ephemeral":{"events":[`...)
		begin = len(w.B)
		if len(r.Receipts) > 0 {
			w.B = r.AppendReceipts(w.B)
		}
		if r.NewTyping {
			w.B = r.AppendTyping(separate(w.B, begin))
		}
		w.B = append(w.B, `]}`...)
	}
	w.B = append(w.B, `,"event_map":{`...)
	if err := s.writeEventMap(ctx, w, r); err != nil {
		return err
	}
	w.B = append(w.B, `},"state":{"events":`...)
	if err := timeline.WriteList(ctx, w, s.State(r), appendID); err != nil {
		return err //nolint:wrapcheck // it becomes the answer
	}
	w.B = append(w.B, `},"timeline":{"events":`...)
	w.B = appendIDs(w.B, r.Timeline)
	w.B = strconv.AppendBool(append(w.B, `,"limited":`...), r.Limited)
	w.B = event.AppendString(append(w.B, `,"prev_batch":`...), syncstream.FormatToken(r.PrevBatch))
	w.B = append(w.B, `}}`...)
	return w.Pass() //nolint:wrapcheck // it is the connection's own
}

// writeEventMap writes the events of the timeline and of the state, each once.
func (s syncV2AlphaAnswer) writeEventMap(ctx context.Context, w *reserve.Writer, r *syncstream.Room) error {
	written := map[string]bool{}
	first := true
	add := func(e *timeline.Event) error {
		if !first {
			w.B = append(w.B, ',')
		}
		first = false
		w.B = append(event.AppendString(w.B, e.ID), ':')
		w.B = s.AppendEvent(w.B, r, e)
		return w.Pass() //nolint:wrapcheck // it is the connection's own
	}
	for _, e := range r.Timeline {
		if err := add(e); err != nil {
			return err
		}
		written[e.ID] = true
	}
	for e, err := range s.State(r).All(ctx) {
		if err != nil {
			return err //nolint:wrapcheck // it becomes the answer
		}
		if written[e.ID] {
			continue
		}
		if err := add(e); err != nil {
			return err
		}
	}
	return nil
}

func appendID(dst []byte, e *timeline.Event) []byte { return event.AppendString(dst, e.ID) }

func appendIDs(dst []byte, events []*timeline.Event) []byte {
	dst = append(dst, '[')
	begin := len(dst)
	for _, e := range events {
		dst = appendID(separate(dst, begin), e)
	}
	return append(dst, ']')
}
