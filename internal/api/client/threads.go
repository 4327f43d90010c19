package client

import (
	"context"
	"maps"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// threadsAnswer is a page of the threads of a room.
type threadsAnswer struct {
	timeline.Format
	*timeline.Threads
}

// WriteJSON writes the page.
func (a threadsAnswer) WriteJSON(_ context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"chunk":`...)
	w.B = a.AppendEvents(w.B, a.Roots)
	if a.Next != nil {
		w.B = append(w.B, `,"next_batch":`...)
		w.B = event.AppendString(w.B, a.Next.String())
	}
	w.B = append(w.B, '}')
	return nil
}

// threads returns a page of the threads of a room. M_INVALID_PARAM for a token, a limit or
// a value of include that is none; M_FORBIDDEN for a room that the user may not look at.
// Section "Querying threads in a room", GET /rooms/{roomId}/threads.
func (a *api) threads(r *httpapi.Request, who matrix.Session) (any, error) {
	p, err := a.threadsPage(r)
	if err != nil {
		return nil, err
	}
	ignored, err := a.Data.Ignored(r.Context(), who.UserID)
	if err != nil {
		return nil, err
	}
	p.Ignored = slices.Collect(maps.Keys(ignored))
	page, err := a.Rooms.Timeline.For(who.UserID).Threads(r.Context(), r.Param("roomId"), *p)
	if err != nil {
		return nil, err
	}
	format, err := a.bundling(r, who, page.Access, page.Roots)
	format.Hidden = ignored
	return threadsAnswer{format, page}, err
}

func (a *api) threadsPage(r *httpapi.Request) (p *timeline.ThreadsPage, err error) {
	p = &timeline.ThreadsPage{}
	switch r.Query("include") {
	case "", "all":
	case "participated":
		p.Participated = true
	default:
		return nil, matrix.Errorf(matrix.InvalidParam, `include must be "all" or "participated"`)
	}
	if p.Limit, err = r.QueryInt("limit", timeline.DefaultLimit); err != nil {
		return nil, err
	}
	if p.Limit == 0 {
		return nil, matrix.Errorf(matrix.InvalidParam, "limit must be greater than 0")
	}
	if from := r.Query("from"); from != "" {
		if p.From, err = timeline.ParseThreadsToken(from); err != nil {
			return nil, err
		}
		err = a.Journal.CatchUp(r.Context(), p.From.Position())
	}
	return p, err
}
