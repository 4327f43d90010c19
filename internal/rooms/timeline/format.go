package timeline

import (
	"context"
	"strconv"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/reserve"
)

// Format is how events are written for one reader: client-server API, "Room
// event format".
type Format struct {
	// WithRoomID adds room_id, as everywhere but in /sync.
	WithRoomID bool
	// Federation selects the bytes that are federated, without anything else.
	Federation bool
	// V1 selects the format of api/v1: see appendV1.
	V1 bool
	// WithoutID leaves out event_id.
	WithoutID bool
	// InviteState is the stripped state that is added to the reader's invites and knocks.
	InviteState []*Event
	// Now is the time from which unsigned.age is counted.
	Now time.Time
	// UserID and DeviceID are the reader's: the device that sent an event gets
	// its transaction ID back.
	UserID, DeviceID string
	// Aggregations are bundled with the events; nil: nothing is. Not in the format of api/v1.
	Aggregations Aggregations
	// Hidden are users whose messages are shown redacted.
	Hidden map[string]bool
	// Access decides which membership the reader had at an event, whether the event is
	// shown redacted, and whether the content of a replaced event may be shown.
	Access *Access
}

// AppendJSON appends the event in the format for clients.
func (f *Format) AppendJSON(dst []byte, e *Event) []byte {
	return f.appendWith(dst, e, f.Aggregations[e.NID])
}

// appendWith appends the event with what is bundled with it; nil: nothing is.
func (f *Format) appendWith(dst []byte, e *Event, a *Aggregation) []byte {
	shown := f.show(e)
	switch {
	case f.Federation:
		return append(dst, shown.JSON...)
	case f.V1:
		return f.appendV1(dst, &shown)
	}
	dst = f.appendFields(dst, &shown)
	dst = f.appendTimes(append(dst, `,"unsigned":{`...), &shown)
	dst = f.appendBeside(dst, &shown)
	if a != nil {
		dst = f.appendAggregation(dst, &shown, a)
	}
	return append(dst, "}}"...)
}

// appendFields begins the event with all members outside of unsigned.
func (f *Format) appendFields(dst []byte, shown *Shown) []byte {
	e := shown.Stored
	ready := e.ready != nil && shown.Event == e.Event && !f.WithoutID
	if ready {
		dst = append(dst, e.ready[:e.tail]...)
	} else {
		dst = appendHead(dst, shown, !f.WithoutID)
	}
	if f.WithRoomID {
		dst = append(dst, `,"room_id":`...)
		dst = event.AppendString(dst, e.RoomID)
	}
	if ready {
		return append(dst, e.ready[e.tail:]...)
	}
	return appendTail(dst, shown)
}

// appendHead appends the members before room_id.
func appendHead(dst []byte, shown *Shown, withID bool) []byte {
	e := shown.Stored
	dst = append(dst, `{"content":`...)
	dst = appendContent(dst, shown.Event)
	if withID {
		dst = append(dst, `,"event_id":`...)
		dst = event.AppendString(dst, e.ID)
	}
	dst = append(dst, `,"origin_server_ts":`...)
	dst = strconv.AppendInt(dst, e.OriginServerTS, 10)
	if shown.Redacts != "" {
		dst = append(dst, `,"redacts":`...)
		dst = event.AppendString(dst, shown.Redacts)
	}
	return dst
}

// appendTail appends the members after room_id.
func appendTail(dst []byte, shown *Shown) []byte {
	e := shown.Stored
	dst = append(dst, `,"sender":`...)
	dst = event.AppendString(dst, e.Sender)
	if e.StateKey != nil {
		dst = append(dst, `,"state_key":`...)
		dst = event.AppendString(dst, *e.StateKey)
	}
	dst = append(dst, `,"type":`...)
	return event.AppendString(dst, e.Type)
}

// appendContent appends the content. The target of a redaction is both in the content
// and beside it, whatever the room version, for clients old and new: room version 11,
// "Moving the redacts property".
func appendContent(dst []byte, shown *event.Event) []byte {
	if shown.Redacts == "" || event.Field(shown.Content, "redacts") != nil {
		return append(dst, shown.Content...)
	}
	dst = append(dst, `{"redacts":`...)
	dst = event.AppendString(dst, shown.Redacts)
	if len(shown.Content) > len("{}") {
		dst = append(dst, ',')
	}
	return append(dst, shown.Content[1:]...)
}

// appendTimes appends how long ago the event was, and how the reader stood to
// the room then.
func (f *Format) appendTimes(dst []byte, shown *Shown) []byte {
	dst = f.appendAge(dst, shown.Stored)
	if shown.ReaderIs != "" {
		dst = append(dst, `,"membership":`...)
		dst = event.AppendString(dst, shown.ReaderIs)
	}
	return dst
}

func (f *Format) appendAge(dst []byte, e *Event) []byte {
	dst = append(dst, `"age":`...)
	return strconv.AppendInt(dst, max(0, f.Now.UnixMilli()-e.OriginServerTS), 10)
}

// appendBeside appends unsigned: what this server knows of the event.
func (f *Format) appendBeside(dst []byte, shown *Shown) []byte {
	e := shown.Stored
	if r := e.Replaces; r != nil {
		if shown.PrevContent != nil {
			dst = append(dst, `,"prev_content":`...)
			dst = append(dst, shown.PrevContent...)
			dst = append(dst, `,"prev_sender":`...)
			dst = event.AppendString(dst, r.Sender)
		}
		dst = append(dst, `,"replaces_state":`...)
		dst = event.AppendString(dst, r.EventID)
	}
	if shown.Because != nil {
		dst = f.appendBecause(append(dst, `,"redacted_because":`...), shown.Because)
	}
	if len(f.InviteState) > 0 && e.IsState(event.TypeMember, f.UserID) {
		switch membership := e.Membership(); {
		case membership == event.Invite:
			dst = AppendStrippedEvents(append(dst, `,"invite_room_state":`...), f.InviteState)
		case membership == event.Knock && !f.V1: // which is older than knocks
			dst = AppendStrippedEvents(append(dst, `,"knock_room_state":`...), f.InviteState)
		}
	}
	if shown.DelayID != "" {
		dst = append(dst, `,"org.matrix.msc4140.delay_id":`...)
		dst = event.AppendString(dst, shown.DelayID)
	}
	if shown.TxnID != "" {
		dst = append(dst, `,"transaction_id":`...)
		dst = event.AppendString(dst, shown.TxnID)
	}
	return dst
}

// appendBecause appends the redaction of an event, without unsigned.
func (f *Format) appendBecause(dst []byte, because *Event) []byte {
	shown := f.show(because)
	shown.Because = nil
	if f.V1 {
		return f.appendV1(dst, &shown)
	}
	dst = f.appendFields(dst, &shown)
	return append(f.appendTimes(append(dst, `,"unsigned":{`...), &shown), "}}"...)
}

// AppendEvents appends a JSON array of the events.
func (f *Format) AppendEvents(dst []byte, events []*Event) []byte {
	dst = append(dst, '[')
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = f.AppendJSON(dst, e)
	}
	return append(dst, ']')
}

// AppendStripped appends a state event as stripped state: client-server API,
// "Stripped state".
func AppendStripped(dst []byte, e *Event) []byte {
	dst = append(dst, `{"content":`...)
	dst = append(dst, e.Content()...)
	dst = append(dst, `,"sender":`...)
	dst = event.AppendString(dst, e.Sender)
	dst = append(dst, `,"state_key":`...)
	dst = event.AppendString(dst, *e.StateKey)
	dst = append(dst, `,"type":`...)
	dst = event.AppendString(dst, e.Type)
	return append(dst, '}')
}

// AppendStrippedEvents appends a JSON array of stripped state.
func AppendStrippedEvents(dst []byte, state []*Event) []byte {
	dst = append(dst, '[')
	for i, e := range state {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendStripped(dst, e)
	}
	return append(dst, ']')
}

// appendV1 appends the event in the format of api/v1: members of today's unsigned are
// in the event itself, the sender is called user_id, too, and a member event has its
// membership also outside of the content. The text of that time is "Events", "Event
// formats", in the specification of November 2015.
func (f *Format) appendV1(dst []byte, shown *Shown) []byte {
	e := shown.Stored
	dst = f.appendFields(dst, shown)
	dst = f.appendAge(append(dst, ','), e)
	if e.StateKey != nil && e.Type == event.TypeMember {
		dst = append(dst, `,"membership":`...)
		dst = event.AppendString(dst, shown.Membership())
	}
	dst = f.appendBeside(dst, shown)
	dst = append(dst, `,"user_id":`...)
	return append(event.AppendString(dst, e.Sender), '}')
}

// WriteEvents writes a JSON array of the events of a cursor.
func (f *Format) WriteEvents(ctx context.Context, w *reserve.Writer, c *Cursor) error {
	return WriteList(ctx, w, c, f.AppendJSON)
}

// WriteList writes a JSON array of the events of a cursor, each written by appendJSON.
func WriteList(ctx context.Context, w *reserve.Writer, c *Cursor, appendJSON func([]byte, *Event) []byte) error {
	w.B = append(w.B, '[')
	first := true
	for e, err := range c.All(ctx) {
		if err != nil {
			return err
		}
		if !first {
			w.B = append(w.B, ',')
		}
		first = false
		w.B = appendJSON(w.B, e)
		if err := w.Pass(); err != nil {
			return err //nolint:wrapcheck // it is the connection's own
		}
	}
	w.B = append(w.B, ']')
	return nil
}
