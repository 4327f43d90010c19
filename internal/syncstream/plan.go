package syncstream

import (
	"cmp"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/rooms/timeline"
)

// plan is what one answer is about: the rooms, and the range of positions of
// each, as of one moment of the journal.
type plan struct {
	*request
	viewer   *viewer
	timeline *timeline.EventFilter // of the request, and without whom the user ignores
	upTo     journal.Position
	tickUpTo journal.Tick
	rooms    []*Room

	// covered tells that the live window holds all since the last answer; own are
	// then the user's own entries in it.
	covered bool
	own     []*journal.Entry
	// What concerns no room.
	accountData []accountEvent
	presence    []presence.State

	byNID map[journal.RoomNID]*Room // of rooms, as soon as it is asked for
}

// Section is the part of the answer that a room stands in.
type Section int

// The sections of rooms.
const (
	Joined Section = iota
	Invited
	Knocked
	Left
)

// Room is one room in an answer. Its events are what the reader may see.
type Room struct {
	Section Section
	RoomID  string
	// Timeline holds the newest events, oldest first. Limited tells that there are
	// older ones since the last answer; PrevBatch is where they end.
	Timeline  []*timeline.Event
	Limited   bool
	PrevBatch journal.Position
	// State is the state that the timeline begins with (or, if that was asked for,
	// ends with), as far as it is new; of a room that one is invited to or knocks
	// at, the stripped state. What of it was not read, because it is too much to be
	// held at once, is what [Answer.State] goes on with.
	State timeline.List
	// Summary is nil where nothing in it has changed.
	Summary *timeline.Summary
	Access  *timeline.Access

	nid journal.RoomNID
	// The room is looked at in (since, upTo]. The timeline begins after from, and all
	// before it is a gap.
	since, from, upTo journal.Position
	// stateUpTo is how far the reader may know the state; full asks for all of it,
	// and not just for what is new.
	stateUpTo journal.Position
	full      bool
	// fresh: the room is new to the client, with all that is not its history. gained:
	// the user has come in since the last answer.
	fresh, gained bool
	// secret: the reader was not in, and is told of no state.
	secret bool
	// live holds the room's entries after since, where inWindow.
	live     []*journal.Entry
	inWindow bool
	// still: the tables hold no event of the room after since.
	still bool
	// What is not part of the room's history.
	AccountData []*accountdata.Item
	Receipts    []*receipts.Receipt
	// Typing is who is typing now, where NewTyping.
	Typing    []string
	NewTyping bool
	// readOn tells that the reader has read on, be it with another device.
	readOn bool
	// Unread counts notifications; nil unless the reader is in the room.
	Unread *push.Unread
	// inviter is who has sent the member event of a reader who is invited, where that
	// is not in State yet.
	inviter string
	// newMembers tells that somebody has come or gone.
	newMembers bool
}

// newPlan chooses the rooms. It runs inside the journal: no I/O.
func newPlan(view journal.View, v *viewer, r *request) *plan {
	p := &plan{request: r, viewer: v, upTo: view.Position, timeline: r.filter.Room.Timeline}
	if len(v.ignored) > 0 {
		p.timeline = p.timeline.WithoutMessagesOf(v.ignored)
	}
	if p.covered = !r.initial && (r.since >= p.upTo || r.since > 0 && view.Covers(r.since)); p.covered {
		p.own = view.About(journal.Topic{User: v.userID}, r.since)
	}
	if !r.initial && r.since >= p.upTo && !r.FullState {
		return p
	}
	covered := p.covered && r.since > 0
	for _, st := range v.rooms {
		var live []*journal.Entry
		if covered {
			live = view.About(journal.Topic{Room: st.Room}, r.since)
			if len(live) == 0 && !r.FullState {
				continue // the membership is as it was, too
			}
		}
		if !r.filter.wants(st.RoomID) {
			continue
		}
		if room := p.room(st); room != nil {
			if covered && room.since > 0 {
				room.inWindow, room.live = true, live
			}
			p.rooms = append(p.rooms, room)
		}
	}
	return p
}

// room decides what the answer tells of a room; nil: nothing.
func (p *plan) room(st *standing) *Room {
	memberships := st.Memberships.UpTo(p.upTo)
	if len(memberships) == 0 {
		return nil
	}
	r := &Room{RoomID: st.RoomID, nid: st.Room, since: p.since, from: p.since, upTo: p.upTo, Access: st.accessAt(p.upTo)}
	now := memberships.Last()
	switch now.Value {
	case event.Join:
		p.joined(r, memberships)
	case event.Invite, event.Knock:
		r.Section, r.upTo = Invited, now.From
		if now.Value == event.Knock {
			r.Section = Knocked
		}
		if !p.initial && !p.FullState && now.From <= p.since {
			return nil
		}
	default:
		r.Section, r.upTo = Left, now.From
		known := now.From <= p.since || p.initial
		if known && !(p.filter.Room.IncludeLeave && !st.Forgotten && (p.initial || p.FullState)) {
			return nil
		}
		p.left(r, memberships)
	}
	return r
}

// joined plans a room that the user is in. Who has come in since the last answer
// gets the whole state; and, without having been in at the time of the last
// answer, history from before it.
func (p *plan) joined(r *Room, memberships timeline.Changes) {
	r.stateUpTo = r.upTo
	r.full = p.FullState
	if memberships.HeldSince() > p.since {
		r.full, r.fresh = true, true
		r.gained = r.reopen(p.since, memberships) && !p.initial
	}
	r.newMembers = r.full
}

// left plans a room that the user is out of. Whoever was in it since the last
// answer gets the rest, until the end; others just hear how their own membership
// has changed, and nothing of the state.
func (p *plan) left(r *Room, memberships timeline.Changes) {
	r.stateUpTo = memberships.LeftAt()
	r.full = p.FullState
	if r.stateUpTo > p.since {
		if r.reopen(p.since, memberships) {
			r.full, r.fresh = true, true
		}
	}
	r.secret = r.stateUpTo == 0 || r.stateUpTo <= p.since && !r.full
}

// reopen looks further back than the last answer, unless the user was in the room
// then; it reports whether it does.
func (r *Room) reopen(since journal.Position, memberships timeline.Changes) bool {
	if memberships.UpTo(since).Last().Value == event.Join {
		return false
	}
	r.since, r.from = 0, 0
	return true
}

// quiet gives the plan of a room that the user is in, for what is not part of
// its history; nil if the answer is not to tell of the room.
func (p *plan) quiet(nid journal.RoomNID) *Room {
	if p.byNID == nil {
		p.byNID = make(map[journal.RoomNID]*Room, len(p.rooms))
		for _, r := range p.rooms {
			p.byNID[r.nid] = r
		}
	}
	if r := p.byNID[nid]; r != nil {
		return r
	}
	st := p.joinedRoom(nid)
	if st == nil || !p.filter.wants(st.RoomID) {
		return nil
	}
	r := &Room{
		RoomID: st.RoomID, nid: nid, since: p.upTo, from: p.upTo, upTo: p.upTo, stateUpTo: p.upTo,
		PrevBatch: p.upTo, inWindow: true, Access: st.accessAt(p.upTo),
	}
	p.byNID[nid] = r
	p.rooms = append(p.rooms, r)
	return r
}

// joinedRoom gives how the user stands to a room that they are in; else nil.
func (p *plan) joinedRoom(nid journal.RoomNID) *standing {
	i, ok := slices.BinarySearchFunc(p.viewer.rooms, nid, func(st *standing, nid journal.RoomNID) int {
		return cmp.Compare(st.Room, nid)
	})
	if !ok || p.viewer.rooms[i].Memberships.UpTo(p.upTo).Last().Value != event.Join {
		return nil
	}
	return p.viewer.rooms[i]
}

// tells reports whether there is something to tell of the room.
func (r *Room) tells() bool {
	return r.full || r.Section != Joined || r.Limited || r.Summary != nil || r.NewTyping || r.readOn ||
		len(r.Timeline)+len(r.State.Events)+len(r.AccountData)+len(r.Receipts) > 0
}

// answer keeps the rooms that there is something to tell of.
func (p *plan) answer(s *Service) *Answer {
	if p.byNID != nil { // some may have been added at the end
		slices.SortFunc(p.rooms, func(a, b *Room) int { return cmp.Compare(a.nid, b.nid) })
	}
	return &Answer{
		NextBatch: s.token(p.upTo, p.tickUpTo, p.Since), Rooms: p.which((*Room).tells),
		plan: p, service: s, now: s.Now(),
	}
}
