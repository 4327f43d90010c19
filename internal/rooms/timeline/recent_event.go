package timeline

import (
	"strings"

	"homeserver/internal/event"
)

// compactor makes compact events, which share their texts: types, users, and rooms.
type compactor map[string]string

// text returns a text that others share.
func (c compactor) text(s string) string {
	if s == "" {
		return ""
	}
	shared, ok := c[s]
	if !ok {
		shared = strings.Clone(s)
		c[shared] = shared
	}
	return shared
}

// compact returns an event that was read from the database with no more than readers are
// shown: not as it is federated, but as clients get it, ready to be copied. The content is a
// part of that.
func (c compactor) compact(e *Event) *Event {
	of := &struct {
		Event
		event    event.Event
		stateKey string
	}{}
	of.event = event.Event{
		ID: strings.Clone(e.ID), RoomID: c.text(e.RoomID), Type: c.text(e.Type), Sender: c.text(e.Sender),
		Redacts: strings.Clone(e.Redacts), OriginServerTS: e.OriginServerTS, Version: e.Version, Content: e.Event.Content,
	}
	if e.StateKey != nil {
		of.stateKey = c.text(*e.StateKey)
		of.event.StateKey = &of.stateKey
	}
	of.Event.Event = &of.event
	of.Room, of.NID, of.Position, of.Place = e.Room, e.NID, e.Position, e.Place
	of.DeviceID, of.TxnID = c.text(e.DeviceID), strings.Clone(e.TxnID)
	of.relation = event.Relation{Type: c.text(e.relation.Type), EventID: strings.Clone(e.relation.EventID)}
	if r := e.Replaces; r != nil {
		of.Replaces = &Replaced{EventID: strings.Clone(r.EventID), Sender: c.text(r.Sender), NID: r.NID, Place: r.Place}
		of.Replaces.show(r.Content())
	}
	of.prepare()
	if r := e.redaction.Load(); r != nil {
		is := &redaction{redacted: of.Event.Event, by: r.by}
		if r.because != nil {
			is.because = c.compact(r.because)
		}
		of.redaction.Store(is)
	}
	return &of.Event
}

// prepare makes the event ready for clients, as appendFields begins it.
func (e *Event) prepare() {
	shown := Shown{Event: e.Event, Stored: e}
	var room [4 << 10]byte
	ready := appendHead(room[:0], &shown, true)
	e.tail = len(ready)
	e.ready = append(make([]byte, 0, len(ready)+len(e.Sender)+len(e.Type)+100), ready...)
	e.ready = appendTail(e.ready, &shown)
	const begin = len(`{"content":`)
	if e.Redacts == "" {
		e.Event.Content = e.ready[begin : begin+len(e.Event.Content)]
	}
}

// compactSize is MemorySize of an event in compact form.
func (e *Event) compactSize() int {
	const structs, replaced = 480, 200
	text := func(n int) int { return n + n/8 }
	n := structs + text(cap(e.ready)) + text(len(e.ID)+len(e.TxnID))
	if e.Redacts != "" {
		n += text(cap(e.Event.Content))
	}
	if e.Replaces != nil {
		n += replaced + text(len(e.Replaces.Content()))
	}
	if r := e.redaction.Load(); r != nil {
		if r.redacted != e.Event {
			n += r.redacted.Size()
		}
		if r.because != nil {
			n += r.because.MemorySize()
		}
	}
	return n
}
