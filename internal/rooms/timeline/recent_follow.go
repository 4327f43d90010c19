package timeline

import (
	"slices"

	"homeserver/internal/event"
)

// The recent part of a room grows with the commits, up to twice of what is kept; then its
// floor moves up.
const (
	// recentEvents is how many events are kept: those of a timeline and of a page.
	recentEvents = 50
	// recentRead is how many are read at first, of many rooms at once.
	recentRead = 30
	// recentEventBytes bounds the bytes of the events.
	recentEventBytes = 256 << 10
)

// missedChange is a committed change of a room, with what was staged for it.
type missedChange struct {
	RoomChange
	was *Staged
}

// follow brings the recent part up to a committed change, which it may know already. It reports
// false where it can't: then the room is to be read anew.
func (r *recent) follow(c RoomChange, was *Staged) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.status {
	case recentLoading:
		r.missed = append(r.missed, missedChange{c, was})
		return true
	case recentKept:
		return r.apply(c, was)
	case recentRefused:
		if was != nil && was.Redacted != nil {
			r.redactions++
			r.latest = nil
			r.weigh()
		}
	}
	return true
}

// apply adds a change. The lock is held.
func (r *recent) apply(c RoomChange, was *Staged) bool {
	if c.Event == nil || c.Event.Position == 0 || c.Place != PlaceOf(c.Event.Position) {
		return false // it is not the newest event of the room
	}
	if c.Place > r.floor {
		if n := r.upTo(c.Place); n < len(r.events) || n > 0 && r.events[n-1].Place == c.Place {
			if n == 0 || r.events[n-1].Place != c.Place {
				return false
			}
		} else {
			r.events = append(r.events, c.Event)
			r.grow(c.Event)
			r.relate(c.Event)
		}
	}
	for at := range c.Line {
		r.replace(at)
	}
	if was != nil && was.Redacted != nil {
		r.redact(was, c.Event)
	}
	r.trim()
	return true
}

// relate notes an event of the timeline that is aggregated with another.
func (r *recent) relate(e *Event) {
	if c := childOf(e); c != nil {
		r.children[c.target] = append(r.children[c.target], c)
		r.bytes.Add(int64(c.memorySize()))
	}
}

// replace begins an interval, and ends the one before it, unless it is known.
func (r *recent) replace(at Interval) {
	last := r.latest[at.StateKey]
	if at.From <= r.floor || last != nil && last.from >= at.From {
		return
	}
	if last != nil && last.until == unbounded {
		last.until = at.From
		r.count(last, -1)
	}
	r.changed = max(r.changed, at.From)
	r.state.Store(nil)
	if at.Event != nil {
		r.hold(&held{Event: at.Event, from: at.From, until: unbounded, before: last})
	}
}

// hold adds an interval to the line.
func (r *recent) hold(h *held) {
	if h.Type == event.TypeMember {
		h.membership = h.Event.Event.Membership()
	}
	r.latest[h.key()] = h
	r.line = slices.Insert(r.line, r.begunUpTo(h.from), h)
	if h.until == unbounded {
		r.count(h, 1)
	}
	r.bytes.Add(int64(r.sizeOf(h)))
}

// count counts a member who has come or gone.
func (r *recent) count(h *held, by int64) {
	switch h.membership {
	case event.Join:
		r.joined += by
	case event.Invite:
		r.invited += by
	}
}

// redact shows an event redacted, wherever it is: in the timeline, in the state, and beside
// others.
func (r *recent) redact(was *Staged, because *Event) {
	target := was.Target
	if n := r.upTo(target.Place); n > 0 && r.events[n-1].ID == target.ID {
		r.events[n-1].Redact(was.Redacted, because)
		r.grow(because)
	}
	if target.StateKey == nil && target.Type != event.TypeRedaction {
		return // it is beside no other
	}
	for _, h := range r.line {
		if h.ID == target.ID {
			h.Redact(was.Redacted, because)
		}
		h.redactBeside(was, because)
	}
	for _, e := range r.events {
		e.redactBeside(was, because)
	}
}

// redactBeside shows the event that this one has replaced redacted, or the one that has redacted
// it, if that is the target of a redaction.
func (e *Event) redactBeside(was *Staged, because *Event) {
	if r := e.Replaces; r != nil && r.EventID == was.Target.ID {
		r.show(was.Redacted.Content)
	}
	if r := e.redaction.Load(); r != nil && r.because != nil && r.because.ID == was.Target.ID {
		r.because.Redact(was.Redacted, because)
	}
}

// trim moves the floor up once there are many events, and drops what ended below it.
func (r *recent) trim() {
	if len(r.events) <= 2*recentEvents && r.eventBytes <= 2*recentEventBytes {
		return
	}
	keep, bytes := 0, 0
	for _, e := range slices.Backward(r.events) {
		if bytes += e.MemorySize(); keep == recentEvents || bytes > recentEventBytes {
			break
		}
		keep++
	}
	drop := len(r.events) - keep
	r.floor = r.events[drop-1].Place
	r.events = slices.Clone(r.events[drop:])
	for _, h := range r.line {
		for _, change := range [...]Place{h.from, h.until} {
			if change <= r.floor {
				r.stateFloor = max(r.stateFloor, change)
			}
		}
	}
	r.line = slices.Clone(slices.DeleteFunc(r.line, func(h *held) bool { return h.until <= r.floor }))
	for _, h := range r.line {
		if h.before != nil && h.before.until <= r.floor {
			h.before = nil
		}
	}
	for key, h := range r.latest {
		if h.until <= r.floor {
			delete(r.latest, key)
		}
	}
	r.relateAll()
	r.weigh()
}

// relateAll finds out anew which events of the timeline are aggregated with others. The lists
// of before may be in use.
func (r *recent) relateAll() {
	r.children = map[string][]*child{}
	for _, e := range r.events {
		r.relate(e)
	}
}

// weigh counts the bytes of all that is kept anew.
func (r *recent) weigh() {
	const structs = 400
	r.eventBytes = 0
	for _, e := range r.events {
		r.eventBytes += e.MemorySize()
	}
	rest := structs
	for _, children := range r.children {
		for _, c := range children {
			rest += c.memorySize()
		}
	}
	for _, h := range r.line {
		rest += r.sizeOf(h)
	}
	if r.status == recentRefused {
		for _, h := range r.latest {
			rest += r.sizeOf(h)
		}
	}
	r.bytes.Store(int64(r.eventBytes + rest))
}

// sizeOf estimates how many bytes an interval occupies: with its event, unless that is in the
// timeline.
func (r *recent) sizeOf(h *held) int {
	// beside is that of its elements in the lists and in the map, too.
	const beside = 190
	if h.Place == h.from && h.Place > r.floor {
		return beside
	}
	return beside + h.Event.MemorySize()
}

// grow counts the bytes of an event of the timeline.
func (r *recent) grow(e *Event) {
	r.eventBytes += e.MemorySize()
	r.bytes.Add(int64(e.MemorySize()))
}
