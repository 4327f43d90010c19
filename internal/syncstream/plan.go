package syncstream

import (
	"slices"
	"time"

	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/e2ee/todevice"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/rooms/timeline"
)

// plan is what one answer is about: the user, the rooms, and the range of places of
// each, as of one moment of the journal. The parts of the answer fill it.
type plan struct {
	userID, deviceID string
	ignored          []string // users whose messages, invites, receipts and so on are not shown
	filter           *Filter
	timelineFilter   *timeline.EventFilter // of filter, and without the messages of ignored users
	initial          bool
	fullState        bool // asked for
	stateAfter       bool // the state at the end of timelines is asked for
	now              time.Time

	// The answer covers positions in (since, upTo], and ticks in (tick, tickUpTo].
	since, upTo    journal.Position
	tick, tickUpTo journal.Tick
	// covered reports that the live window covers all of that; own has the user's own
	// entries in it then.
	covered bool
	own     []*journal.Entry

	viewer *viewer // nil where rooms are all that the answer shows
	rooms  []*room
	byNID  map[journal.RoomNID]*room // of rooms, as soon as it is asked for

	// known is what the device knows, if members are loaded lazily, and shown the members of the room
	// that is being written.
	known *knownMembers
	shown []knownMember

	// aggregations are what is bundled with the events of limited timelines, if the answer shows
	// that.
	bundled      bool
	aggregations timeline.Aggregations

	// Content that concerns no room.
	accountData []accountEvent
	presence    []presence.State
	// waiting is what waits for the device, as of upTo. toDevice is what the answer has of it,
	// and toDeviceUpTo how far the device has got messages then. noToDevice: it has none.
	waiting      *todevice.Waiting
	noToDevice   bool
	toDevice     []*todevice.Message
	toDeviceUpTo journal.Position
	// keyCounts is which one-time keys of the device are left, and keyCountsBefore which
	// were when the request came; nil: it has just come.
	keyCounts, keyCountsBefore *devicekeys.Counts
	// lists is what concerns device lists in the window, if that covers the answer, and
	// deviceLists which of them to fetch; nil: the answer does not say.
	lists       devicekeys.Seen
	deviceLists *devicekeys.Lists
	// moreData and moreReceipts are too much to be held at once, of rooms, too: they are
	// read when the answer is written. nil: nothing is.
	moreData     *accountdata.Parts
	moreReceipts *receipts.Parts

	// sliding is set where the answer is one of sliding sync.
	sliding *slidingPlan
}

// section is the part of the answer that a room is in.
type section int

// The sections of rooms.
const (
	joined section = iota
	invited
	knocked
	left
)

// room is one room in an answer.
type room struct {
	section section
	id      string
	nid     journal.RoomNID
	access  *timeline.Access

	// The room is looked at in (since, upTo], and its state up to stateUpTo: as far as the
	// user may know it.
	since, upTo, stateUpTo timeline.Place
	// fullState asks for all state, and not only for changes.
	fullState bool
	// isNew: the room is new to the client, with all that is not its history. hasCome: the
	// user has come in since the last answer.
	isNew, hasCome bool
	// stateHidden: the user was not in, and is shown no state.
	stateHidden bool
	// live has the room's entries after since, where inWindow.
	live     []*journal.Entry
	inWindow bool
	// ranges are the places whose events /events shows.
	ranges []timeline.Range
	// shown: the room is in the answer.
	shown bool

	// timeline has the newest events that the user may see, oldest first. limited:
	// there are older ones since the last answer; prevBatch is where they end.
	timeline  []*timeline.Event
	limited   bool
	prevBatch timeline.Place
	// unchanged: the tables hold no event of the room after since.
	unchanged bool
	// state is the state at the beginning of the timeline (or, if that was asked for,
	// at its end), as far as it is new; of a room that the user is invited to or knocks
	// at, the stripped state. Events of it that are too many to be held at once are
	// read when the answer is written.
	state timeline.List
	// stateIsLazy: the state is read together with the members who are needed.
	stateIsLazy bool
	// inviter is the sender of the member event of a user who is invited, where that is
	// not in state yet.
	inviter string
	// membersChanged: somebody has come or gone.
	membersChanged bool
	// summary is nil where nothing in it has changed.
	summary     *timeline.Summary
	accountData []*accountdata.Item
	receipts    []*receipts.Receipt
	// moreData and moreReceipts: there are more in those of the plan.
	moreData, moreReceipts bool
	// readFurther: the user has read on, be it with another device.
	readFurther bool
	// typing has the users typing now, if typingChanged.
	typing        []string
	typingChanged bool
	// unread counts notifications; nil unless the user is in the room.
	unread *push.Unread

	// What follows is of sliding sync: the window that the room is in, and whether the client
	// knows the room, but not up to the last answer.
	window   *slidingRoom
	isBehind bool
	// expanded: the timeline has events from before the last answer, too. stateAnew: all state
	// that is asked for is shown.
	expanded, stateAnew bool
	// needed are the members that the timeline needs, where members are loaded lazily.
	needed map[string]bool
	// name and avatar are those of the room where they may be new to the client, and heroes the
	// members who make up its name.
	name, avatar               *timeline.Event
	nameChanged, avatarChanged bool
	heroes                     []*timeline.Event
	// bump is the place of the newest event that moves the room up; 0: it has not moved.
	bump timeline.Place
}

// newPlan chooses the rooms. It runs inside the journal: no I/O.
func newPlan(view journal.View, v *viewer, r *request, l *look) *plan {
	p := &plan{
		userID: r.UserID, deviceID: r.DeviceID, ignored: v.ignored, filter: r.filter, timelineFilter: r.filter.Room.Timeline,
		initial: r.initial, fullState: r.FullState, stateAfter: r.UseStateAfter,
		since: r.since, upTo: view.Position, tick: r.tick, viewer: v, keyCountsBefore: r.keyCounts,
		noToDevice: r.noToDevice, bundled: r.bundled,
	}
	if len(v.ignored) > 0 {
		p.timelineFilter = p.timelineFilter.WithoutMessagesOf(v.ignored)
	}
	if p.covered = !p.initial && (p.since >= p.upTo || p.since > 0 && view.Covers(p.since)); p.covered {
		p.own = view.About(journal.Topic{User: v.userID}, p.since)
	}
	if l != nil {
		p.noteOwnLists()
		p.chooseWindow(view, r.sliding, l)
		return p
	}
	if !p.initial && p.since >= p.upTo && !p.fullState {
		return p
	}
	p.noteOwnLists()
	p.chooseRooms(view)
	return p
}

// chooseRooms plans the rooms in which something has happened, or may have.
func (p *plan) chooseRooms(view journal.View) {
	covered := p.covered && p.since > 0
	rooms := p.viewer.rooms
	if covered && !p.fullState {
		rooms = p.viewer.touchedBy(view.Between(p.since, p.upTo))
	}
	for _, st := range rooms {
		var live []*journal.Entry
		if covered {
			live = view.About(journal.Topic{Room: st.Room}, p.since)
			if (len(live) == 0 || !p.noteLists(st, live)) && !p.fullState {
				continue // the membership is as it was, too
			}
		}
		if !p.filter.wants(st.RoomID) {
			continue
		}
		if r := p.newRoom(st, timeline.PlaceOf(p.since), p.initial); r != nil {
			if covered && r.since > 0 {
				r.inWindow, r.live = true, live
			}
			p.rooms = append(p.rooms, r)
		}
	}
}

// gaps returns the gaps in each room between which the answer lies.
func (p *plan) gaps() (since, upTo timeline.Place) {
	return timeline.PlaceOf(p.since), timeline.PlaceOf(p.upTo)
}

// newRoom plans the content of the answer for a room, which the client knows up to a place, or
// not at all; nil: none.
func (p *plan) newRoom(st *standing, since timeline.Place, initial bool) *room {
	_, upTo := p.gaps()
	memberships := st.Memberships.UpTo(upTo)
	if len(memberships) == 0 {
		return nil
	}
	r := &room{id: st.RoomID, nid: st.Room, since: since, upTo: upTo, access: st.accessAt(upTo)}
	now := memberships.Last()
	switch now.Value {
	case event.Join:
		p.planJoined(r, memberships, initial)
	case event.Invite, event.Knock:
		r.section, r.upTo, r.shown = invited, now.From, true
		if now.Value == event.Knock {
			r.section = knocked
		}
		if !initial && !p.fullState && now.From <= since {
			return nil
		}
	default:
		r.section, r.upTo, r.shown = left, now.From, true
		known := now.From <= since || initial
		if known && !(p.filter.Room.IncludeLeave && !st.Forgotten && (initial || p.fullState)) {
			return nil
		}
		p.planLeft(r, memberships)
	}
	return r
}

// planJoined plans a room that the user is in. A user who has joined since the last
// answer gets the whole state; and, if not in the room at the time of the last answer,
// history from before it.
func (p *plan) planJoined(r *room, memberships timeline.Changes, initial bool) {
	r.stateUpTo = r.upTo
	r.fullState = p.fullState
	if memberships.HeldSince() > r.since {
		r.fullState, r.isNew = true, true
		r.hasCome = r.reopen(memberships) && !initial
	}
	r.membersChanged = r.fullState
}

// planLeft plans a room that the user has left. A user who was in it since the last
// answer gets the rest, until the end; others get only the changes of their own
// membership, and nothing of the state.
func (p *plan) planLeft(r *room, memberships timeline.Changes) {
	r.stateUpTo = memberships.LeftAt()
	r.fullState = p.fullState
	since := r.since
	if r.stateUpTo > since && r.reopen(memberships) {
		r.fullState, r.isNew = true, true
	}
	r.stateHidden = r.stateUpTo == 0 || r.stateUpTo <= since && !r.fullState
}

// reopen moves the beginning to before the last answer, unless the user was in the room
// then; it reports whether it does.
func (r *room) reopen(memberships timeline.Changes) bool {
	if memberships.UpTo(r.since).Last().Value == event.Join {
		return false
	}
	r.since = 0
	return true
}

// planned returns a room of the plan; nil if it isn't there.
func (p *plan) planned(nid journal.RoomNID) *room {
	if p.byNID == nil {
		p.byNID = make(map[journal.RoomNID]*room, len(p.rooms))
		for _, r := range p.rooms {
			p.byNID[r.nid] = r
		}
	}
	return p.byNID[nid]
}

// room returns a room of the plan. If there are no new events but the user is in it, it
// joins the plan for its other parts. It returns nil if the answer does not show the
// room.
func (p *plan) room(nid journal.RoomNID) *room {
	if r := p.planned(nid); r != nil {
		return r
	}
	st := p.joinedRoom(nid)
	if st == nil || !p.filter.wants(st.RoomID) || p.sliding != nil && !p.sliding.follows(nid) {
		return nil
	}
	since, upTo := p.gaps()
	r := &room{
		id: st.RoomID, nid: nid, since: since, upTo: upTo, stateUpTo: upTo,
		prevBatch: upTo, inWindow: true, access: st.accessAt(upTo),
	}
	if p.sliding != nil {
		r.window = p.sliding.window[nid]
	}
	p.byNID[nid] = r
	p.rooms = append(p.rooms, r)
	return r
}

// isJoined reports whether the user is in a room.
func (p *plan) isJoined(nid journal.RoomNID) bool {
	if p.viewer == nil {
		r := p.planned(nid)
		return r != nil && r.section == joined
	}
	return p.joinedRoom(nid) != nil
}

// joinedRoom returns the user's standing in a room that the user is in; else nil.
func (p *plan) joinedRoom(nid journal.RoomNID) *standing {
	if p.viewer == nil {
		return nil
	}
	st := p.viewer.standing(nid)
	if st == nil || st.Memberships.UpTo(timeline.PlaceOf(p.upTo)).Last().Value != event.Join {
		return nil
	}
	return st
}

// which returns the rooms of the plan for which a condition is true.
func (p *plan) which(holds func(r *room) bool) []*room {
	var list []*room
	for _, r := range p.rooms {
		if holds(r) {
			list = append(list, r)
		}
	}
	return list
}

// hasTimeline reports whether the room's section shows events at all.
func (r *room) hasTimeline() bool { return r.section == joined || r.section == left }

// ignores reports whether the user ignores another.
func (p *plan) ignores(userID string) bool { return slices.Contains(p.ignored, userID) }
