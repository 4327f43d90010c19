package syncstream

import (
	"cmp"
	"context"
	"slices"

	"homeserver/internal/journal"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/rooms/timeline"
)

// slidingPlan is what a plan has of a request of sliding sync: the rooms of its window, and what the
// client will know by the answer.
type slidingPlan struct {
	request *slidingRequest
	window  map[journal.RoomNID]*slidingRoom
	counts  map[string]int // of lists
	// fresh are the extensions that were not enabled in the last answer: they show all there is.
	fresh extensions
	// labels are those of the user, if rooms are asked for.
	labels *labels

	knowledge *knowledge
	planned   []*room
	// next is what the client will know, and token up to where: once the answer is made.
	next  *knownRooms
	token string
}

// look is what is worked out before the journal is looked at: the rooms of the window, and how many
// each list has.
type look struct {
	window map[journal.RoomNID]*slidingRoom
	counts map[string]int
	labels *labels
}

// lookAt works it out, as of a moment that may be a little earlier than the answer: a room that comes
// into the window meanwhile falls behind, and is in the next answer. It takes no SQL where all is in
// memory, except for filters by spaces.
func (s *Service) lookAt(ctx context.Context, v *viewer, r *request) (*look, error) {
	sr, now := r.sliding, s.Journal.Position()
	if len(sr.Lists)+len(sr.Subscriptions) == 0 {
		return &look{}, nil
	}
	facts, err := s.facts.of(ctx, v.rooms)
	if err != nil {
		return nil, err
	}
	c, err := s.chooser(ctx, v, sr)
	if err != nil {
		return nil, err
	}
	l := &look{labels: c.labels}
	l.window, l.counts = sr.window(sr.sequence(v.rooms, facts, r.since, now), c)
	return l, nil
}

// chooser reads what the filters of a request look at.
func (s *Service) chooser(ctx context.Context, v *viewer, sr *slidingRequest) (c *chooser, err error) {
	c = &chooser{}
	if c.labels, err = s.labels.of(ctx, v.userID); err != nil {
		return nil, err
	}
	spaces := map[string]bool{}
	for _, list := range sr.Lists {
		if list.Filters == nil || list.Filters.Spaces == nil {
			continue
		}
		for _, space := range *list.Filters.Spaces {
			spaces[space] = true
		}
	}
	if len(spaces) > 0 {
		c.children, err = s.childrenOf(ctx, v, spaces)
	}
	return c, err
}

// maxChildren bounds the rooms that are looked at to filter by spaces.
const maxChildren = 10_000

// childrenOf returns the rooms of those of some spaces that the user is in.
func (s *Service) childrenOf(ctx context.Context, v *viewer, spaces map[string]bool) (map[string]map[string]bool, error) {
	var nids []journal.RoomNID
	ids := map[journal.RoomNID]string{}
	for _, st := range v.rooms {
		if spaces[st.RoomID] && st.isJoined() {
			nids = append(nids, st.Room)
			ids[st.Room] = st.RoomID
		}
	}
	if len(nids) == 0 {
		return nil, nil
	}
	found, err := s.Rooms.SpaceChildren(ctx, nids, timeline.PlaceOf(s.Journal.Position()), maxChildren)
	children := map[string]map[string]bool{}
	for _, c := range found {
		of := children[ids[c.Space]]
		if of == nil {
			of = map[string]bool{}
			children[ids[c.Space]] = of
		}
		of[c.RoomID] = true
	}
	return children, err
}

// chooseWindow plans the rooms of the window of a request in which something has happened, or of
// which the client has not got what it asks for. Rooms outside of it in which something has happened
// fall behind. It runs inside the journal.
func (p *plan) chooseWindow(view journal.View, sr *slidingRequest, l *look) {
	sp := &slidingPlan{request: sr, knowledge: newKnowledge(sr.known), window: l.window, counts: l.counts, labels: l.labels}
	p.sliding = sp
	if !p.initial {
		sp.fresh = sr.enabled() &^ sr.known.extensions
	}
	sp.knowledge.setExtensions(sr.enabled())
	touched := p.touched(view)
	for nid, w := range sp.window {
		w.known, w.isKnown = sr.known.rooms[nid]
		p.planWindow(view, w, touched)
	}
	slices.SortFunc(p.rooms, func(a, b *room) int { return cmp.Compare(a.nid, b.nid) })
	sp.planned = slices.Clone(p.rooms)
	for nid, known := range sr.known.rooms {
		if sp.window[nid] == nil && known.behind == 0 && (touched == nil || touched[nid] != nil) {
			sp.knowledge.fallBehind(nid, p.since)
		}
	}
}

// ownEntries are the entries of a room of which only the user's own topic tells.
var ownEntries = []*journal.Entry{}

// touched returns the entries since the last answer of the rooms that have any; nil: that is not
// known.
func (p *plan) touched(view journal.View) map[journal.RoomNID][]*journal.Entry {
	if !p.covered {
		return nil
	}
	touched := map[journal.RoomNID][]*journal.Entry{}
	for _, entry := range p.own {
		switch value := entry.Value.(type) {
		case *accountdata.Item:
			touched[value.Room] = ownEntries
		case *receipts.Receipt:
			touched[value.Room] = ownEntries
		}
	}
	if p.since == 0 {
		return touched
	}
	for _, st := range p.viewer.touchedBy(view.Between(p.since, p.upTo)) {
		live := view.About(journal.Topic{Room: st.Room}, p.since)
		if len(live) > 0 && p.noteLists(st, live) {
			touched[st.Room] = live
		}
	}
	return touched
}

// planWindow plans a room of the window.
func (p *plan) planWindow(view journal.View, w *slidingRoom, touched map[journal.RoomNID][]*journal.Entry) {
	sp, nid := p.sliding, w.standing.Room
	since, follows := timeline.PlaceOf(p.since), w.isKnown && w.known.behind == 0
	switch {
	case !w.isKnown:
		since = 0
	case !follows:
		since = timeline.PlaceOf(w.known.behind)
	}
	expanded := w.isKnown && limitOf(w.config.limit) > w.known.limit
	wider := w.isKnown && !w.config.required.isWithin(sp.request.known.state(w.known))
	live := touched[nid]
	if follows && touched != nil && len(live) == 0 && !expanded && !wider && sp.fresh == 0 {
		sp.remember(w, w.known.limit)
		return
	}
	r := p.newRoom(w.standing, since, !w.isKnown)
	if r == nil {
		sp.remember(w, w.known.limit)
		return
	}
	r.window, r.isBehind = w, !follows
	r.stateAnew = wider && !r.fullState
	r.expanded = expanded && !r.fullState && r.section == joined
	if r.since > 0 && follows && touched != nil {
		r.inWindow, r.live = true, view.About(journal.Topic{Room: nid}, p.since)
	}
	p.rooms = append(p.rooms, r)
}

// remember notes that the client knows a room of the window by the answer, with so many events.
func (sp *slidingPlan) remember(w *slidingRoom, limit uint16) {
	sp.knowledge.set(w.standing.Room, knownRoom{limit: limit, required: sp.knowledge.index(w.config.required)})
}

// follows reports whether the client has a room of the window up to the last answer.
func (sp *slidingPlan) follows(nid journal.RoomNID) bool {
	w := sp.window[nid]
	return w != nil && w.isKnown && w.known.behind == 0
}

// shows reports whether an extension shows a room.
func (sp *slidingPlan) shows(of extensions, r *room) bool {
	if r.window == nil {
		return false
	}
	ext := &sp.request.Extensions
	switch of {
	case withAccountData:
		return ext.AccountData.wants(r.window)
	case withReceipts:
		return ext.Receipts.wants(r.window)
	default:
		return ext.Typing.wants(r.window)
	}
}

// isAnew reports whether an extension shows all that there is of a room.
func (p *plan) isAnew(of extensions, r *room) bool {
	return r.isNew || p.sliding != nil && p.sliding.fresh&of != 0
}

// finish works out what the client will know by the answer.
func (sp *slidingPlan) finish() {
	for _, r := range sp.planned {
		sp.remember(r.window, r.limitKnown())
	}
	sp.next = sp.knowledge.knownRooms
}

// limitKnown is how many of the newest events the client has by the answer.
func (r *room) limitKnown() uint16 {
	switch whole := r.since == 0 || r.expanded; {
	case whole && !r.limited:
		return timeline.MaxLimit // all there are
	case whole || r.limited:
		return limitOf(r.window.config.limit)
	}
	return r.window.known.limit
}
