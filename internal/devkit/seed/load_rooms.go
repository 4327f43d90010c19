package seed

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

// makeRooms makes all rooms, before anything is in them: a space names others.
func (l *loader) makeRooms(ctx context.Context) error {
	err := each(ctx, len(l.seed.Rooms), roomsAtOnce, func(ctx context.Context, i int) error {
		r := &l.seed.Rooms[i]
		if err := l.makeRoom(ctx, i, r); err != nil {
			return l.failed(r.Line, fmt.Sprintf("rooms[%d]", i), err)
		}
		l.bar.Add(1)
		return nil
	})
	for i := range l.seed.Rooms {
		l.byName[l.seed.Rooms[i].ID.Value] = l.roomIDs[i]
	}
	return err
}

func (l *loader) makeRoom(ctx context.Context, i int, r *Room) error {
	// From version 12 on the ID of a room is the hash of its first event, in which nothing but the time may differ.
	at := l.madeAt(r) - int64(len(l.seed.Rooms)-i)
	q := rooms.CreateRequest{
		AliasName: r.Alias, Name: r.Name, Topic: r.Topic, RoomVersion: r.Version, Preset: r.Preset, PowerLevels: l.powerLevels(r),
		Timestamp: &at,
	}
	if r.Listed {
		q.Visibility = "public"
	}
	creator := l.user(r.Creator.Value)
	if r.Type != "" {
		raw, err := matrix.EncodeJSON(r.Type)
		if err != nil {
			return err
		}
		q.CreationContent = map[string]json.RawMessage{"type": raw}
	}
	if r.Encrypted {
		q.InitialState = append(q.InitialState, rooms.InitialState{
			Type: event.TypeEncryption, Content: json.RawMessage(`{"algorithm":"m.megolm.v1.aes-sha2"}`),
		})
	}
	if r.Avatar.Value != "" {
		picture, err := l.upload(ctx, creator, r.Avatar.Value)
		if err != nil {
			return err
		}
		raw, err := matrix.EncodeJSON(map[string]string{"url": picture.uri})
		if err != nil {
			return err
		}
		q.InitialState = append(q.InitialState, rooms.InitialState{Type: event.TypeAvatar, Content: raw})
	}
	made, err := l.Rooms.Create(ctx, creator, q)
	if err == nil {
		l.roomIDs[i] = made.RoomID
	}
	return err
}

// madeAt returns when a room was made: the time that it has, or the earliest of what is in it.
func (l *loader) madeAt(r *Room) int64 {
	if r.At.set {
		return r.At.on(l.now)
	}
	first := l.now.UnixMilli()
	earlier := func(t Time) {
		if t.set {
			first = min(first, t.on(l.now))
		}
	}
	for i := range r.Members {
		earlier(r.Members[i].At)
	}
	for i := range r.State {
		earlier(r.State[i].At)
	}
	for i := range r.Messages {
		earlier(r.Messages[i].At)
	}
	return first
}

// powerLevels returns those of a room with whole user IDs.
func (l *loader) powerLevels(r *Room) map[string]json.RawMessage {
	users := map[string]json.RawMessage{}
	if json.Unmarshal(r.PowerLevels["users"], &users) != nil {
		return r.PowerLevels // none, or something that is refused
	}
	whole := map[string]json.RawMessage{}
	for name, level := range users {
		whole[l.user(name)] = level
	}
	levels := map[string]json.RawMessage{}
	for key, value := range r.PowerLevels {
		levels[key] = value
	}
	if raw, err := matrix.EncodeJSON(whole); err == nil {
		levels["users"] = raw
	}
	return levels
}

// room returns the ID of a room by its name in the file, or by its ID.
func (l *loader) room(name string) string {
	if id, ok := l.byName[name]; ok {
		return id
	}
	return name
}

// fillRooms sends the events of all rooms.
func (l *loader) fillRooms(ctx context.Context) error {
	return each(ctx, len(l.seed.Rooms), roomsAtOnce, func(ctx context.Context, i int) error {
		f := &filler{
			loader: l, room: &l.seed.Rooms[i], roomID: l.roomIDs[i], key: fmt.Sprintf("rooms[%d]", i),
			ids: map[string]string{}, latest: map[string]string{},
		}
		return f.fill(ctx)
	})
}

const (
	// batchEvents and batchBytes bound what is sent to a room in one commit.
	batchEvents = 200
	batchBytes  = 1 << 20
)

// filler sends the events of one room, in groups.
type filler struct {
	*loader
	room   *Room
	roomID string
	key    string
	// last is the time of the last event.
	last int64
	// ids are the event IDs by the names in the file.
	ids map[string]string
	// latest are the newest events of threads, by the names of the roots.
	latest map[string]string

	// batch is what is sent next, and where it stands in the file.
	batch  []rooms.Posting
	places []place
	bytes  int
}

// place is where an event stands in the file, and its name there.
type place struct {
	line    int
	key, id string
}

func (f *filler) fill(ctx context.Context) error {
	f.last = f.madeAt(f.room)
	for _, step := range []func(context.Context) error{f.ownState, f.members, f.othersState, f.children, f.messages, f.flush, f.personal} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// send adds an event to the batch, and sends the batch if it is full.
func (f *filler) send(ctx context.Context, at place, p rooms.Posting) error {
	if len(f.batch) >= batchEvents || f.bytes+len(p.Content) > batchBytes {
		if err := f.flush(ctx); err != nil {
			return err
		}
	}
	f.last = *p.Timestamp
	f.batch, f.places, f.bytes = append(f.batch, p), append(f.places, at), f.bytes+len(p.Content)
	return nil
}

// flush sends the batch. If it is refused, its events are sent one by one, to learn which is to blame.
func (f *filler) flush(ctx context.Context) error {
	if len(f.batch) == 0 {
		return nil
	}
	eventIDs, err := f.Rooms.Post(ctx, f.roomID, f.batch)
	if err != nil && ctx.Err() == nil {
		eventIDs, err = f.oneByOne(ctx)
	}
	if err != nil {
		return err
	}
	for i, at := range f.places {
		if at.id != "" {
			f.ids[at.id] = eventIDs[i]
		}
	}
	f.bar.Add(int64(len(f.batch)))
	f.batch, f.places, f.bytes = f.batch[:0], f.places[:0], 0
	return nil
}

func (f *filler) oneByOne(ctx context.Context) (eventIDs []string, err error) {
	for i := range f.batch {
		one, err := f.Rooms.Post(ctx, f.roomID, f.batch[i:i+1])
		if err != nil {
			return nil, f.failed(f.places[i].line, f.places[i].key, err)
		}
		eventIDs = append(eventIDs, one...)
	}
	return eventIDs, nil
}

// event returns the ID of an event by its name. Events of the batch have none yet, so that it is sent.
func (f *filler) event(ctx context.Context, name string) (string, error) {
	if id, ok := f.ids[name]; ok {
		return id, nil
	}
	if err := f.flush(ctx); err != nil {
		return "", err
	}
	id, ok := f.ids[name]
	if !ok {
		return "", fmt.Errorf("there is no event %q", name)
	}
	return id, nil
}

// when returns the time of an event: its own, or that of the one before it.
func (f *filler) when(t Time) int64 {
	if t.set {
		return t.on(f.now)
	}
	return f.last
}

// members makes users join and leave.
func (f *filler) members(ctx context.Context) error {
	joined := f.madeAt(f.room)
	for i := range f.room.Members {
		m := &f.room.Members[i]
		at := place{line: m.Line, key: fmt.Sprintf("%s.members[%d]", f.key, i)}
		ts := joined
		if m.At.set {
			ts = m.At.on(f.now)
		}
		for _, change := range f.changes(m) {
			raw, err := matrix.EncodeJSON(change.content)
			if err != nil {
				return f.failed(at.line, at.key, err)
			}
			target := f.user(m.User.Value)
			err = f.send(ctx, at, rooms.Posting{UserID: f.user(change.sender), Type: event.TypeMember, StateKey: &target, Content: raw, Timestamp: &ts})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// change is one change of a membership.
type change struct {
	sender  string
	content map[string]any
}

// changes returns the changes by which a user gets a membership.
func (f *filler) changes(m *Member) (list []change) {
	by := cmp.Or(m.By.Value, f.room.Creator.Value)
	membership := cmp.Or(m.Membership, event.Join)
	switch membership {
	case event.Knock:
		list = []change{f.change(m.User.Value, event.Knock)}
	case event.Join, event.Leave:
		if !f.room.isPublic() || membership == event.Join && m.By.Value != "" {
			list = append(list, f.change(by, event.Invite))
		}
		list = append(list, f.change(m.User.Value, event.Join))
		if membership == event.Leave {
			list = append(list, f.change(cmp.Or(m.By.Value, m.User.Value), event.Leave))
		}
	default:
		list = []change{f.change(by, membership)}
	}
	if m.Reason != "" {
		list[len(list)-1].content["reason"] = m.Reason
	}
	return list
}

func (f *filler) change(sender, membership string) change {
	content := map[string]any{"membership": membership}
	if f.room.Direct && membership == event.Invite {
		content["is_direct"] = true
	}
	return change{sender, content}
}

// isPublic reports whether everybody may join when the members come.
func (r *Room) isPublic() bool {
	rule := "invite"
	if r.Preset == "public_chat" || r.Preset == "" && r.Listed {
		rule = event.JoinRulePublic
	}
	for i := range r.State {
		if s := &r.State[i]; s.Type == event.TypeJoinRules && s.Sender == r.Creator {
			rule, _ = event.StringField(s.Content, "join_rule")
		}
	}
	return rule == event.JoinRulePublic
}

// ownState sets the state that the room's creator sets, before others come.
func (f *filler) ownState(ctx context.Context) error {
	return f.state(ctx, func(sender string) bool { return sender == f.room.Creator.Value })
}

// othersState sets the state that others set.
func (f *filler) othersState(ctx context.Context) error {
	return f.state(ctx, func(sender string) bool { return sender != f.room.Creator.Value })
}

func (f *filler) state(ctx context.Context, by func(sender string) bool) error {
	for i := range f.room.State {
		if s := &f.room.State[i]; by(s.Sender.Value) {
			if err := f.message(ctx, s, fmt.Sprintf("%s.state[%d]", f.key, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// children puts rooms into a space.
func (f *filler) children(ctx context.Context) error {
	raw, err := matrix.EncodeJSON(map[string]any{"via": []string{f.ServerName}})
	if err != nil {
		return err
	}
	for i, child := range f.room.Children {
		roomID, ts := f.loader.room(child.Value), f.last
		at := place{line: child.Line, key: fmt.Sprintf("%s.children[%d]", f.key, i)}
		err := f.send(ctx, at, rooms.Posting{
			UserID: f.user(f.room.Creator.Value), Type: event.TypeSpaceChild, StateKey: &roomID, Content: raw, Timestamp: &ts,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// spread returns the time between two of the events of one message that is repeated from a time on.
func (f *filler) spread(m *Message, from int64) int64 {
	if m.Every > 0 {
		return time.Duration(m.Every).Milliseconds()
	}
	return max(0, f.now.UnixMilli()-from) / int64(max(1, m.Repeat))
}
