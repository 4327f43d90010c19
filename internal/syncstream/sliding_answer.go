package syncstream

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/personal/typing"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// SlidingAnswer is what is new on a connection of sliding sync: MSC4186.
type SlidingAnswer struct {
	// Pos is what the next request goes on from.
	Pos string

	answer *Answer
}

// WriteJSON writes the answer.
func (a *SlidingAnswer) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	p := a.answer.plan
	w.B = event.AppendString(append(w.B, `{"pos":`...), a.Pos)
	w.B = append(w.B, `,"lists":{`...)
	for i, name := range slices.Sorted(maps.Keys(p.sliding.counts)) {
		w.B = event.AppendString(comma(w.B, i), name)
		w.B = append(strconv.AppendInt(append(w.B, `:{"count":`...), int64(p.sliding.counts[name]), 10), '}')
	}
	w.B = append(w.B, `},"rooms":{`...)
	first := true
	for _, r := range p.rooms {
		if !r.shown {
			continue
		}
		if !first {
			w.B = append(w.B, ',')
		}
		first = false
		w.B = append(event.AppendString(w.B, r.id), ":{"...)
		if err := a.writeRoom(ctx, w, r); err != nil {
			return err
		}
		w.B = append(w.B, '}')
		if err := w.Pass(); err != nil {
			return err
		}
	}
	w.B = append(w.B, `},"extensions":{`...)
	if err := a.writeExtensions(ctx, w); err != nil {
		return err
	}
	w.B = append(w.B, "}}"...)
	a.answer.service.lazy.keep(p)
	return nil
}

// memberships are the words for the sections of rooms that the user has not left.
var memberships = map[section]string{joined: event.Join, invited: event.Invite, knocked: event.Knock}

func (a *SlidingAnswer) writeRoom(ctx context.Context, w *reserve.Writer, r *room) error {
	p := a.answer.plan
	membership := memberships[r.section]
	if r.section == left {
		membership = r.window.standing.Memberships.UpTo(timeline.PlaceOf(p.upTo)).Last().Value
	}
	w.B = event.AppendString(append(w.B, `"membership":`...), membership)
	if r.fullState || !r.hasTimeline() || r.since == 0 {
		w.B = append(w.B, `,"initial":true`...)
	}
	if r.bump > 0 {
		w.B = strconv.AppendInt(append(w.B, `,"bump_stamp":`...), int64(r.bump.Position()), 10)
	}
	if p.sliding.labels.isDirect(r.id) || !r.fullState {
		w.B = strconv.AppendBool(append(w.B, `,"is_dm":`...), p.sliding.labels.isDirect(r.id))
	}
	if !r.hasTimeline() {
		w.B = append(w.B, `,"invite_state":`...)
		return timeline.WriteList(ctx, w, a.answer.state(r), timeline.AppendStripped)
	}
	a.writeNames(w, r)
	if r.unread != nil {
		total := r.unread.Total()
		w.B = strconv.AppendInt(append(w.B, `,"notification_count":`...), int64(total.Notification), 10)
		w.B = strconv.AppendInt(append(w.B, `,"highlight_count":`...), int64(total.Highlight), 10)
	}
	return a.writeEvents(ctx, w, r)
}

// writeNames writes what the room is called, where that is new to the client.
func (a *SlidingAnswer) writeNames(w *reserve.Writer, r *room) {
	for _, of := range []struct {
		member, field string
		event         *timeline.Event
		changed       bool
	}{{"name", "name", r.name, r.nameChanged}, {"avatar", "url", r.avatar, r.avatarChanged}} {
		text := textIn(of.event, of.field)
		switch {
		case text != "" && (of.changed || r.fullState):
			w.B = event.AppendString(append(w.B, `,"`+of.member+`":`...), text)
		case text == "" && of.changed && !r.fullState:
			w.B = append(w.B, `,"`+of.member+`":null`...)
		}
	}
	if r.summary == nil {
		return
	}
	w.B = strconv.AppendInt(append(w.B, `,"joined_count":`...), r.summary.Joined, 10)
	w.B = strconv.AppendInt(append(w.B, `,"invited_count":`...), r.summary.Invited, 10)
	if len(r.heroes) == 0 {
		return
	}
	w.B = append(w.B, `,"heroes":[`...)
	for i, e := range r.heroes {
		w.B = event.AppendString(append(comma(w.B, i), `{"user_id":`...), *e.StateKey)
		for _, field := range []string{"displayname", "avatar_url"} {
			if text := textIn(e, field); text != "" {
				w.B = event.AppendString(append(w.B, `,"`+field+`":`...), text)
			}
		}
		w.B = append(w.B, '}')
	}
	w.B = append(w.B, ']')
}

// writeEvents writes the state and the timeline of a room.
func (a *SlidingAnswer) writeEvents(ctx context.Context, w *reserve.Writer, r *room) error {
	p := a.answer.plan
	format := a.answer.eventFormat(r)
	w.B = append(w.B, `,"required_state":[`...)
	l := list{w: w}
	for e, err := range a.answer.state(r).All(ctx) {
		if err != nil {
			return err
		}
		if !r.wantsEntry(e.Type, *e.StateKey) && e.Type != event.TypeMember {
			continue
		}
		if err := l.add(func(dst []byte) []byte { return format(dst, e) }); err != nil {
			return err
		}
	}
	w.B = append(w.B, `],"timeline":`...)
	live := 0
	for _, e := range r.timeline {
		if !p.initial && e.Place > timeline.PlaceOf(p.since) {
			live++
		}
	}
	if err := timeline.WriteList(ctx, w, a.answer.service.Rooms.Cursor(timeline.List{Events: r.timeline}), format); err != nil {
		return err
	}
	p.rememberMembers(r)
	// matrix-js-sdk looks for older events than it has only where a timeline is limited: it takes others for new.
	w.B = strconv.AppendBool(append(w.B, `,"limited":`...), r.limited || r.expanded)
	w.B = strconv.AppendInt(append(w.B, `,"num_live":`...), int64(live), 10)
	if len(r.timeline) > 0 || r.limited || r.fullState {
		w.B = event.AppendString(append(w.B, `,"prev_batch":`...), FormatPlace(r.prevBatch))
	}
	if r.expanded {
		w.B = append(w.B, `,"unstable_expanded_timeline":true`...)
	}
	return nil
}

// writeExtensions writes what is not the history of rooms.
func (a *SlidingAnswer) writeExtensions(ctx context.Context, w *reserve.Writer) error {
	p := a.answer.plan
	ext := &p.sliding.request.Extensions
	l := list{w: w}
	for _, one := range []struct {
		name    string
		enabled bool
		write   func(ctx context.Context, w *reserve.Writer) error
	}{
		{"to_device", ext.ToDevice.Enabled, a.writeToDevice},
		{"e2ee", ext.E2EE.Enabled, a.writeE2EE},
		{"account_data", ext.AccountData.Enabled, a.writeAccountData},
		{"receipts", ext.Receipts.Enabled, a.writeReceipts},
		{"typing", ext.Typing.Enabled, a.writeTyping},
	} {
		if !one.enabled {
			continue
		}
		if err := l.add(func(dst []byte) []byte { return append(dst, `"`+one.name+`":{`...) }); err != nil {
			return err
		}
		if err := one.write(ctx, w); err != nil {
			return err
		}
		w.B = append(w.B, '}')
	}
	return nil
}

func (a *SlidingAnswer) writeToDevice(_ context.Context, w *reserve.Writer) error {
	p := a.answer.plan
	w.B = event.AppendString(append(w.B, `"next_batch":`...), FormatToken(p.toDeviceUpTo))
	w.B = append(w.B, `,"events":[`...)
	l := list{w: w}
	for _, m := range p.toDevice {
		if err := l.add(m.AppendJSON); err != nil {
			return err
		}
	}
	w.B = append(w.B, ']')
	return nil
}

func (a *SlidingAnswer) writeE2EE(ctx context.Context, w *reserve.Writer) error {
	if err := a.answer.writeDeviceLists(ctx, w); err != nil {
		return err
	}
	w.B = a.answer.plan.keyCounts.AppendMembers(w.B)
	return nil
}

func (a *SlidingAnswer) writeAccountData(ctx context.Context, w *reserve.Writer) error {
	p := a.answer.plan
	w.B = append(w.B, `"global":`...)
	if err := p.writeAccountData(ctx, w); err != nil {
		return err
	}
	w.B = append(w.B, ',')
	return a.writeRooms(w, func(r *room) bool { return r.moreData || len(r.accountData) > 0 }, func(r *room) error {
		return p.writeRoomData(ctx, w, r)
	})
}

// writeRooms writes the member rooms of an extension, with the rooms of which it has something.
func (a *SlidingAnswer) writeRooms(w *reserve.Writer, has func(*room) bool, write func(*room) error) error {
	w.B = append(w.B, `"rooms":{`...)
	first := true
	for _, r := range a.answer.plan.which(has) {
		if !first {
			w.B = append(w.B, ',')
		}
		first = false
		w.B = append(event.AppendString(w.B, r.id), ':')
		if err := write(r); err != nil {
			return err
		}
		if err := w.Pass(); err != nil {
			return err
		}
	}
	w.B = append(w.B, '}')
	return nil
}

// writeReceipts writes the receipts of each room as one event.
func (a *SlidingAnswer) writeReceipts(ctx context.Context, w *reserve.Writer) error {
	return a.writeRooms(w, func(r *room) bool { return r.moreReceipts || len(r.receipts) > 0 }, func(r *room) error {
		return a.answer.plan.writeReceiptEvent(ctx, w, r)
	})
}

func (a *SlidingAnswer) writeTyping(_ context.Context, w *reserve.Writer) error {
	return a.writeRooms(w, func(r *room) bool { return r.typingChanged }, func(r *room) error {
		w.B = typing.AppendJSON(w.B, r.typing)
		return nil
	})
}
