package transactions

import (
	"context"
	"maps"
	"math"
	"slices"
	"strconv"

	"homeserver/internal/e2ee/todevice"
	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// lookForMessages finds the messages to devices of the service's users.
func (l *lane) lookForMessages(ctx context.Context, b *batch) (err error) {
	if l.r.DeviceChanges || l.r.ReceiveEphemeral {
		b.messages, b.upTo, err = l.s.o.ToDevice.Between(ctx, b.after, b.upTo, l.r.OwnsUser, maxBytes)
	}
	return err
}

// lookForDevices finds whose device lists a service has to fetch anew, and whose to forget:
// those of users who share a room with it.
func (l *lane) lookForDevices(ctx context.Context, b *batch) error {
	if !l.r.DeviceChanges {
		return nil
	}
	changed, left := l.comeAndGone(b)
	if err := l.addMembers(ctx, b, changed); err != nil {
		return err
	}
	list, err := l.s.o.Keys.ChangesBetween(ctx, b.after, b.upTo)
	if err != nil {
		return err
	}
	shared := map[string][]journal.RoomNID{}
	for _, c := range list {
		shared[c.UserID] = append(shared[c.UserID], c.Rooms...)
	}
	if err := l.addRoomsOf(ctx, b, left, shared); err != nil {
		return err
	}
	shares := func(userID string) bool {
		return l.r.OwnsUser(userID) || slices.ContainsFunc(shared[userID], func(nid journal.RoomNID) bool { return b.rooms[nid].concerns() })
	}
	for _, c := range list {
		if shares(c.UserID) {
			changed[c.UserID] = true
		}
	}
	for userID := range left {
		if !shares(userID) {
			b.left = append(b.left, userID)
			delete(changed, userID)
		}
	}
	b.changed = slices.Sorted(maps.Keys(changed))
	slices.Sort(b.left)
	return nil
}

// comeAndGone returns the users of others who have joined the service's rooms, and who have
// left them.
func (l *lane) comeAndGone(b *batch) (come, gone map[string]bool) {
	come, gone = map[string]bool{}, map[string]bool{}
	for i := range b.traces {
		t := &b.traces[i]
		if len(t.Members) == 0 || !b.rooms[t.Room].concerns() {
			continue
		}
		for _, c := range t.Members {
			switch {
			case l.r.OwnsUser(c.UserID):
			case c.Joins():
				come[c.UserID] = true
			case c.Leaves():
				gone[c.UserID] = true
			}
		}
	}
	return come, gone
}

// addMembers adds those who are in encrypted rooms that the service has entered: it has not
// heard of them while it was not there.
func (l *lane) addMembers(ctx context.Context, b *batch, changed map[string]bool) error {
	if len(b.entered) == 0 {
		return nil
	}
	encrypted, err := l.s.o.Rooms.Encrypted(ctx, b.entered)
	if err != nil || len(encrypted) == 0 {
		return err
	}
	return l.s.o.Rooms.JoinedUpTo(ctx, slices.Collect(maps.Keys(encrypted)), b.upTo, func(_ journal.RoomNID, userID string) {
		if !l.r.OwnsUser(userID) {
			changed[userID] = true
		}
	})
}

// addRoomsOf adds in which rooms users are now who have left one, and has all these rooms
// known.
func (l *lane) addRoomsOf(ctx context.Context, b *batch, left map[string]bool, shared map[string][]journal.RoomNID) error {
	if len(left) > 0 {
		err := l.s.o.Keys.RoomsOf(ctx, slices.Collect(maps.Keys(left)), b.upTo, func(userID string, room journal.RoomNID) {
			shared[userID] = append(shared[userID], room)
		})
		if err != nil {
			return err
		}
	}
	return l.know(ctx, b.rooms, slices.Concat(slices.Collect(maps.Values(shared))...), b.upTo)
}

// devicesOf returns the devices with messages in a transaction. For one that was stored by
// another process, what cannot be read now is deleted when the devices get more.
func (l *lane) devicesOf(ctx context.Context, t *transaction) todevice.Devices {
	if t.restored {
		list, _, err := l.s.o.ToDevice.Between(ctx, l.position, t.upTo, l.r.OwnsUser, math.MaxInt)
		if err == nil {
			return todevice.DevicesOf(list)
		}
	}
	return t.devices
}

// appendDevices appends messages to devices, device lists and the counts of keys, by the
// names that are in use: those of MSC2409 and MSC3202.
func (l *lane) appendDevices(ctx context.Context, w []byte, b *batch) ([]byte, error) {
	if len(b.messages) > 0 {
		w = append(w, `,"de.sorunome.msc2409.to_device":[`...)
		for i, m := range b.messages {
			if i > 0 {
				w = append(w, ',')
			}
			w = m.AppendJSON(w)
		}
		w = append(w, ']')
	}
	if !l.r.DeviceChanges {
		return w, nil
	}
	if len(b.changed)+len(b.left) > 0 {
		w = appendTexts(append(w, `,"org.matrix.msc3202.device_lists":{"changed":`...), b.changed)
		w = append(appendTexts(append(w, `,"left":`...), b.left), '}')
	}
	return l.appendCounts(ctx, w, b)
}

// appendCounts appends which keys are left of the devices of the service itself, and of those
// of its users that have got messages, for which keys were claimed perhaps.
func (l *lane) appendCounts(ctx context.Context, w []byte, b *batch) ([]byte, error) {
	users := map[string]bool{l.r.Sender: true}
	for _, m := range b.messages {
		users[m.UserID] = true
	}
	list, err := l.s.o.Keys.CountsOf(ctx, slices.Sorted(maps.Keys(users)))
	if err != nil || len(list) == 0 {
		return w, err
	}
	counts, types := byUser{}, byUser{}
	for _, d := range list {
		counts.begin(d.UserID, d.DeviceID)
		for i, algorithm := range slices.Sorted(maps.Keys(d.Counts.OneTime)) {
			open := byte(',')
			if i == 0 {
				open = '{'
			}
			counts.w = append(event.AppendString(append(counts.w, open), algorithm), ':')
			counts.w = strconv.AppendInt(counts.w, d.Counts.OneTime[algorithm], 10)
		}
		counts.w = append(counts.w, '}')
		types.begin(d.UserID, d.DeviceID)
		types.w = appendTexts(types.w, d.Counts.UnusedFallback)
	}
	w = append(append(w, `,"org.matrix.msc3202.device_one_time_keys_count":`...), counts.end()...)
	return append(append(w, `,"org.matrix.msc3202.device_unused_fallback_key_types":`...), types.end()...), nil
}

// byUser is a JSON object of values by user and device, which come in order.
type byUser struct {
	w    []byte
	last string
}

func (o *byUser) begin(userID, deviceID string) {
	if userID != o.last || o.w == nil {
		separator := `},`
		if o.w == nil {
			separator = `{`
		}
		o.w = append(event.AppendString(append(o.w, separator...), userID), `:{`...)
		o.last = userID
	} else {
		o.w = append(o.w, ',')
	}
	o.w = append(event.AppendString(o.w, deviceID), ':')
}

func (o *byUser) end() []byte { return append(o.w, `}}`...) }

func appendTexts(w []byte, list []string) []byte {
	w = append(w, '[')
	for i, text := range list {
		if i > 0 {
			w = append(w, ',')
		}
		w = event.AppendString(w, text)
	}
	return append(w, ']')
}
