package client

import (
	"context"
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

// relationsAnswer is a page of the events that are related to one.
type relationsAnswer struct {
	timeline.Format
	*timeline.Stretch
	from  string // the token that was given
	depth int    // to which relations were followed; 0: the client did not ask
}

// WriteJSON writes the page.
func (a relationsAnswer) WriteJSON(_ context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"chunk":`...)
	w.B = a.AppendEvents(w.B, a.Events)
	if a.More {
		w.B = append(w.B, `,"next_batch":`...)
		w.B = event.AppendString(w.B, syncstream.FormatPlace(a.End))
	}
	if a.from != "" {
		w.B = append(w.B, `,"prev_batch":`...)
		w.B = event.AppendString(w.B, a.from)
	}
	if a.depth > 0 {
		w.B = append(w.B, `,"recursion_depth":`...)
		w.B = strconv.AppendInt(w.B, int64(a.depth), 10)
	}
	w.B = append(w.B, '}')
	return nil
}

// relations returns a page of the events that are related to one: of all types, of one type
// of relation, or also of one type of events. M_NOT_FOUND for an event that the reader may
// not see; M_INVALID_PARAM for a token, a direction, a limit or a flag that is none. Section
// "Relationships API".
func (a *api) relations(r *httpapi.Request, who matrix.Session) (any, error) {
	p, err := a.relationsPage(r, who)
	if err != nil {
		return nil, err
	}
	st, err := a.Rooms.Timeline.For(who.UserID).Relations(r.Context(), r.Param("roomId"), r.Param("eventId"), *p)
	if err != nil {
		return nil, err
	}
	answer := relationsAnswer{Stretch: st, from: r.Query("from")}
	switch {
	case p.Recurse:
		answer.depth = timeline.RecursionDepth
	case r.Query("recurse") != "":
		answer.depth = 1
	}
	answer.Format, err = a.bundling(r, who, st.Access, st.Events)
	return answer, err
}

func (a *api) relationsPage(r *httpapi.Request, who matrix.Session) (*timeline.RelationsPage, error) {
	p := &timeline.RelationsPage{RelType: r.Param("relType"), EventType: r.Param("eventType")}
	switch r.Query("dir") {
	case "b", "":
		p.Backward = true
	case "f":
	default:
		return nil, matrix.Errorf(matrix.InvalidParam, `dir must be "f" or "b"`)
	}
	// The second name is that of the proposal, for clients that look for its flag.
	for _, name := range []string{"recurse", "org.matrix.msc3981.recurse"} {
		recurse, err := r.QueryBool(name)
		if err != nil {
			return nil, err
		}
		p.Recurse = p.Recurse || recurse
	}
	var err error
	if p.From, err = a.queryToken(r, "from"); err != nil {
		return nil, err
	}
	if p.To, err = a.queryToken(r, "to"); err != nil {
		return nil, err
	}
	if p.Filter, err = a.ignoring(r.Context(), who, nil); err != nil {
		return nil, err
	}
	limit, err := r.QueryInt("limit", timeline.DefaultLimit)
	p.Limit = limit
	return p, err
}
