package transactions

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strconv"
	"strings"

	"homeserver/internal/e2ee/todevice"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/typing"
	"homeserver/internal/rooms/timeline"
)

// transaction is one as it is sent, and sent again.
type transaction struct {
	id     string
	upTo   journal.Position
	body   []byte
	events int
	// more: there was more than it has room for.
	more bool
	// devices are those with messages in it. restored: they are not known.
	devices  todevice.Devices
	restored bool
}

// encode makes a transaction of a batch.
func (l *lane) encode(ctx context.Context, b *batch) (*transaction, error) {
	events, err := l.events(ctx, b)
	if err != nil {
		return nil, err
	}
	invites, err := l.inviteStates(ctx, events)
	if err != nil {
		return nil, err
	}
	w := []byte(`{"events":[`)
	f := timeline.Format{WithRoomID: true, Now: l.s.now()}
	for i, e := range events {
		if i > 0 {
			w = append(w, ',')
		}
		of := f
		if state := invites[e.NID]; state != nil {
			of.InviteState, of.UserID = state, *e.StateKey
		}
		w = of.AppendJSON(w, e)
	}
	w = append(w, ']')
	w = l.appendEphemeral(w, b)
	if w, err = l.appendDevices(ctx, w, b); err != nil {
		return nil, err
	}
	t := &transaction{id: newID(b.upTo), upTo: b.upTo, body: append(w, '}'), events: len(events), more: b.upTo < b.newest}
	t.devices = todevice.DevicesOf(b.messages)
	return t, nil
}

// newID makes an ID that no other transaction has, not even one that a crash made the server
// forget.
func newID(upTo journal.Position) string {
	return strconv.FormatInt(int64(upTo), 10) + "-" + strings.ToLower(rand.Text()[:12])
}

// appendEphemeral appends typing, receipts and presence.
func (l *lane) appendEphemeral(w []byte, b *batch) []byte {
	if len(b.typing)+len(b.receipts)+len(b.presence) == 0 {
		return w
	}
	if l.r.OldEphemeral {
		w = append(w, `,"de.sorunome.msc2409.ephemeral":[`...)
	} else {
		w = append(w, `,"ephemeral":[`...)
	}
	first := true
	separate := func() {
		if !first {
			w = append(w, ',')
		}
		first = false
	}
	for _, nid := range slices.Sorted(maps.Keys(b.receipts)) {
		separate()
		w = receipts.AppendEventsIn(w, b.rooms[nid].id, b.receipts[nid])
	}
	for _, t := range b.typing {
		separate()
		w = event.AddRoomID(typing.AppendJSON(w, t.Users), b.rooms[t.Room].id)
	}
	for i := range b.presence {
		separate()
		w = b.presence[i].AppendJSON(w, l.s.now())
	}
	return append(w, ']')
}
