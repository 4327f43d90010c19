package client

import (
	"context"

	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

// messagesAnswer is a page of history.
type messagesAnswer struct {
	timeline.Format
	*timeline.Stretch
	start   string // the token that was given, or that of where the page starts
	old     bool   // for a generation before v3
	members *timeline.Cursor
}

// WriteJSON writes the page.
func (m messagesAnswer) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"chunk":`...)
	w.B = m.AppendEvents(w.B, m.Events)
	if m.More || m.old { // which showed by an empty page that there is no more
		w.B = append(w.B, `,"end":`...)
		w.B = event.AppendString(w.B, syncstream.FormatPlace(m.End))
	}
	w.B = append(w.B, `,"start":`...)
	w.B = event.AppendString(w.B, m.start)
	if len(m.Members.Events) > 0 {
		w.B = append(w.B, `,"state":`...)
		if err := m.WriteEvents(ctx, w, m.members); err != nil {
			return err //nolint:wrapcheck // it becomes the answer
		}
	}
	w.B = append(w.B, '}')
	return nil
}

// messages returns a page of a room's history. M_INVALID_PARAM for a token, a
// direction, a limit or a filter that is none; M_MISSING_PARAM in v3 without a
// direction, which is forward in older generations: their clients know servers that
// treat it so. Their answers always have an end, as it was specified then. Section
// "Getting events for a room", GET /rooms/{roomId}/messages.
func (a *api) messages(r *httpapi.Request, who matrix.Session) (any, error) {
	page, err := a.page(r, who)
	if err != nil {
		return nil, err
	}
	st, err := a.Rooms.Timeline.For(who.UserID).Messages(r.Context(), r.Param("roomId"), *page)
	if err != nil {
		return nil, err
	}
	format, err := a.bundling(r, who, st.Access, st.Events)
	if err != nil {
		return nil, err
	}
	start := syncstream.FormatPlace(st.Start)
	if given := r.Query("from"); page.From != nil {
		start = given
	}
	return messagesAnswer{format, st, start, r.Generation() != httpapi.V3, a.Rooms.Timeline.Cursor(st.Members)}, nil
}

func (a *api) page(r *httpapi.Request, who matrix.Session) (*timeline.Page, error) {
	p := &timeline.Page{}
	switch r.Query("dir") {
	case "b":
		p.Backward = true
	case "f":
	case "":
		if r.Generation() == httpapi.V3 {
			return nil, matrix.Errorf(matrix.MissingParam, "dir is missing")
		}
	default:
		return nil, matrix.Errorf(matrix.InvalidParam, `dir must be "f" or "b"`)
	}
	var err error
	if p.From, err = a.queryToken(r, "from"); err != nil {
		return nil, err
	}
	if p.To, err = a.queryToken(r, "to"); err != nil {
		return nil, err
	}
	if p.Filter, err = a.queryFilter(r, who); err != nil {
		return nil, err
	}
	limit, err := r.QueryInt("limit", p.Filter.LimitOr(timeline.DefaultLimit))
	p.Limit = min(max(limit, 1), timeline.MaxLimit) // with 0 a page would never end
	return p, err
}

// queryToken reads a token from the query; nil if it isn't there.
func (a *api) queryToken(r *httpapi.Request, name string) (*timeline.Place, error) {
	text := r.Query(name)
	switch text {
	case "":
		return nil, nil
	case syncstream.TokenStart:
		return new(timeline.Place), nil
	case syncstream.TokenEnd:
		now := timeline.PlaceOf(a.Journal.Position())
		return &now, nil
	}
	p, err := syncstream.ParseToken(syncstream.TokenOf(text))
	if err != nil {
		return nil, err
	}
	place := timeline.PlaceOf(p)
	return &place, a.Journal.CatchUp(r.Context(), p)
}
