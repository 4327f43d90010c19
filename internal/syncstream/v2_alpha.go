package syncstream

import (
	"context"
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/personal/presence"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// V2Alpha is an answer in the shape that it had in v2_alpha: with other names for the
// sections of rooms, and the events of a room in a map by their IDs. The text of that
// time is the specification of October 2015.
type V2Alpha struct{ *Answer }

// WriteJSON writes the answer. There was no knocking yet.
func (v V2Alpha) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"account_data":{"events":`...)
	if err := v.plan.writeAccountData(ctx, w); err != nil {
		return err
	}
	w.B = append(w.B, `},`...)
	if err := v.writeDeviceLists(ctx, w); err != nil {
		return err
	}
	w.B = v.plan.keyCounts.AppendMembers(w.B)
	w.B = append(w.B, `,"next_batch":`...)
	w.B = event.AppendString(w.B, v.NextBatch)
	w.B = append(w.B, `,"presence":{"events":`...)
	w.B = presence.AppendOldList(w.B, v.plan.presence, v.plan.now)
	w.B = append(w.B, `},"rooms":{"archived":{`...)
	if err := v.writeSection(ctx, w, left); err != nil {
		return err
	}
	w.B = append(w.B, `},"invited":{`...)
	if err := v.writeSection(ctx, w, invited); err != nil {
		return err
	}
	w.B = append(w.B, `},"joined":{`...)
	if err := v.writeSection(ctx, w, joined); err != nil {
		return err
	}
	w.B = append(w.B, `}},`...)
	if err := v.plan.writeToDevice(w); err != nil {
		return err
	}
	w.B = append(w.B, '}')
	v.service.lazy.keep(v.plan)
	return nil
}

func (v V2Alpha) writeSection(ctx context.Context, w *reserve.Writer, section section) error {
	first := true
	for _, r := range v.Answer.plan.rooms {
		if r.section != section {
			continue
		}
		if !first {
			w.B = append(w.B, ',')
		}
		first = false
		w.B = append(event.AppendString(w.B, r.id), ':')
		if section != invited {
			if err := v.writeRoom(ctx, w, r); err != nil {
				return err
			}
			continue
		}
		w.B = append(w.B, `{"invite_state":{"events":`...)
		if err := timeline.WriteList(ctx, w, v.state(r), timeline.AppendStripped); err != nil {
			return err
		}
		w.B = append(w.B, `}}`...)
	}
	return nil
}

func (v V2Alpha) writeRoom(ctx context.Context, w *reserve.Writer, r *room) error {
	w.B = append(w.B, `{"account_data":{"events":`...)
	if err := v.plan.writeRoomData(ctx, w, r); err != nil {
		return err
	}
	w.B = append(w.B, '}')
	if r.section == joined {
		w.B = append(w.B, `,"ephemeral":{"events":[`...)
		if err := v.plan.writeEphemeralIn(ctx, &list{w: w}, r); err != nil {
			return err
		}
		w.B = append(w.B, `]}`...)
	}
	w.B = append(w.B, `,"event_map":{`...)
	if err := v.writeEventMap(ctx, w, r); err != nil {
		return err
	}
	w.B = append(w.B, `},"state":{"events":`...)
	if err := timeline.WriteList(ctx, w, v.state(r), appendID); err != nil {
		return err
	}
	w.B = append(w.B, `},"timeline":{"events":`...)
	w.B = appendIDs(w.B, r.timeline)
	w.B = strconv.AppendBool(append(w.B, `,"limited":`...), r.limited)
	w.B = event.AppendString(append(w.B, `,"prev_batch":`...), FormatPlace(r.prevBatch))
	w.B = append(w.B, `}}`...)
	v.plan.rememberMembers(r)
	return w.Pass()
}

// writeEventMap writes the events of the timeline and of the state, each once.
func (v V2Alpha) writeEventMap(ctx context.Context, w *reserve.Writer, r *room) error {
	written := map[string]bool{}
	first := true
	add := func(e *timeline.Event) error {
		if !first {
			w.B = append(w.B, ',')
		}
		first = false
		w.B = append(event.AppendString(w.B, e.ID), ':')
		if v.plan.known != nil {
			v.plan.noteMember(e)
		}
		w.B = v.appendEvent(w.B, r, e)
		return w.Pass()
	}
	for _, e := range r.timeline {
		if err := add(e); err != nil {
			return err
		}
		written[e.ID] = true
	}
	for e, err := range v.state(r).All(ctx) {
		if err != nil {
			return err
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

// appendEvent writes one event of a room without its ID, cut down to the filter's
// event_fields.
func (v V2Alpha) appendEvent(dst []byte, r *room, e *timeline.Event) []byte {
	f := v.format(r)
	f.WithoutID = true
	if v.plan.filter.fields == nil {
		return f.AppendJSON(dst, e)
	}
	dst, _ = v.plan.filter.fields.appendObject(dst, f.AppendJSON(nil, e))
	return dst
}

func appendID(dst []byte, e *timeline.Event) []byte { return event.AppendString(dst, e.ID) }

func appendIDs(dst []byte, events []*timeline.Event) []byte {
	dst = append(dst, '[')
	for i, e := range events {
		dst = appendID(comma(dst, i), e)
	}
	return append(dst, ']')
}
