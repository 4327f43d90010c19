package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// unreadModel is the plain account of what users have not read: all that has happened, in
// order, counted from the beginning whenever it is asked.
type unreadModel struct {
	rooms map[string][]*modelEvent // by room, in order
	users map[string]*modelUser
}

// modelEvent is an event of a room. Of a membership it only says who joins.
type modelEvent struct {
	id, sender, typ string
	thread          string      // "": the main timeline
	parent          *modelEvent // that it is related to; nil: none
	body            string
	mentions        []string // m.mentions; nil: the event has none
	mentionsRoom    bool
	notice, edit    bool
	redacted        bool
	begins          string // the user who joins with it
}

// threadOf is the thread of an event with a parent: that of the parent, if the way to an event
// that is in the thread by its own is no longer than three others.
func threadOf(parent *modelEvent) string {
	thread := parent.thread
	for range 3 {
		if parent.parent == nil || parent.parent.id == thread {
			return thread
		}
		parent = parent.parent
	}
	return ""
}

// mayBeReadAs lists the threads that a receipt at an event fits: that of the event, where "main"
// is that of the main timeline; the main timeline, too, once a relation is gone; and the
// thread of the event that others of the main timeline are related to.
func (e *modelEvent) mayBeReadAs() []string {
	at, loose := e, false
	for hops := 0; at.parent != nil && at.parent.id != e.thread; hops++ {
		if loose = loose || at.redacted; hops == 3 {
			break
		}
		at = at.parent
	}
	switch loose = loose || at.redacted; {
	case e.thread == "":
		return []string{"main", at.id}
	case loose:
		return []string{"main", e.thread}
	}
	return []string{e.thread}
}

// modelUser has the settings of a user.
type modelUser struct {
	ignored map[string]bool
	// read is how far receipts reach in rooms: by room and thread, where "" is that of the
	// whole room and "main" that of the main timeline; an index after which all is unread.
	read map[string]map[string]int
	// Rules of the user: rooms and senders that are mute, senders who are highlighted, a
	// word that is, and whether all is off.
	muteRooms, muteSenders, loudSenders map[string]bool
	word                                string
	off                                 bool
}

func newUnreadModel(users ...string) *unreadModel {
	m := &unreadModel{rooms: map[string][]*modelEvent{}, users: map[string]*modelUser{}}
	for _, id := range users {
		m.users[id] = &modelUser{
			ignored: map[string]bool{}, read: map[string]map[string]int{},
			muteRooms: map[string]bool{}, muteSenders: map[string]bool{}, loudSenders: map[string]bool{},
		}
	}
	return m
}

// add adds an event at the end of a room.
func (m *unreadModel) add(room string, e *modelEvent) { m.rooms[room] = append(m.rooms[room], e) }

// find returns the index of an event in a room.
func (m *unreadModel) find(room, id string) int {
	for i, e := range m.rooms[room] {
		if e.id == id {
			return i
		}
	}
	panic("there is no event " + id)
}

// receipt moves a receipt of a user on.
func (m *unreadModel) receipt(user, room, thread, id string) {
	u := m.users[user]
	if u.read[room] == nil {
		u.read[room] = map[string]int{}
	}
	u.read[room][thread] = max(u.read[room][thread], m.find(room, id))
}

// modelCount is a count as /sync has it.
type modelCount struct{ Notifications, Highlights int }

// counts counts the unread events of a user in a room, by thread; the main timeline is "".
func (m *unreadModel) counts(user, room string) map[string]modelCount {
	u, events := m.users[user], m.rooms[room]
	counts := map[string]modelCount{"": {}}
	since := 0
	for i, e := range events {
		if e.begins == user {
			since = i
		}
	}
	for i, e := range events {
		if i <= since || i <= u.upTo(room, e.thread) || m.spokeLater(user, room, i, e.thread) {
			continue
		}
		if notify, highlight := u.outcome(user, room, e); notify {
			c := counts[e.thread]
			c.Notifications++
			if highlight {
				c.Highlights++
			}
			counts[e.thread] = c
		}
	}
	return counts
}

// upTo is how far receipts reach in a thread.
func (u *modelUser) upTo(room, thread string) int {
	if thread == "" {
		thread = "main"
	}
	return max(u.read[room][""], u.read[room][thread])
}

// spokeLater reports whether a user has said something in a thread after an event.
func (m *unreadModel) spokeLater(user, room string, i int, thread string) bool {
	for _, later := range m.rooms[room][i:] {
		speaks := later.typ != "m.room.member" && later.typ != "m.room.redaction"
		if later.sender == user && later.thread == thread && speaks {
			return true
		}
	}
	return false
}

// outcome applies the rules, the most important first.
func (u *modelUser) outcome(user, room string, e *modelEvent) (notify, highlight bool) {
	switch {
	case e.isSilent() || e.sender == user || u.off || u.ignored[e.sender]:
		return false, false
	case e.isMentionOf(user):
		return true, true
	case e.typ == "m.reaction" || e.edit:
		return false, false
	case u.word != "" && e.has(u.word), e.namesInText(user):
		return true, true
	case u.muteRooms[room] || u.muteSenders[e.sender]:
		return false, false
	}
	return true, u.loudSenders[e.sender]
}

// isSilent reports whether an event notifies nobody, whatever their rules here.
func (e *modelEvent) isSilent() bool {
	return e.redacted || e.notice || e.typ == "m.room.redaction" || e.typ == "m.room.member"
}

// isMentionOf reports whether m.mentions names a user, or the room, which alice may, who
// has made it.
func (e *modelEvent) isMentionOf(user string) bool {
	return slices.Contains(e.mentions, user) || e.mentionsRoom && strings.HasPrefix(e.sender, "@alice:")
}

// namesInText reports whether a user is mentioned as it was done before m.mentions.
func (e *modelEvent) namesInText(user string) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(user, "@"), ":")
	return e.mentions == nil && !e.mentionsRoom && e.has(name)
}

func (e *modelEvent) has(word string) bool { return slices.Contains(strings.Fields(e.body), word) }

// String returns a room as text, for failures.
func (m *unreadModel) String() string {
	var s strings.Builder
	for room, events := range m.rooms {
		fmt.Fprintln(&s, room)
		for i, e := range events {
			fmt.Fprintf(&s, "%3d %+v\n", i, *e)
		}
	}
	for id, u := range m.users {
		fmt.Fprintf(&s, "%s %+v\n", id, *u)
	}
	return s.String()
}

// total adds up the threads.
func total(counts map[string]modelCount) (all modelCount) {
	for c := range maps.Values(counts) {
		all.Notifications += c.Notifications
		all.Highlights += c.Highlights
	}
	return all
}
