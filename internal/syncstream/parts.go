package syncstream

import (
	"context"
	"slices"
)

// part is one kind of content of an answer of /sync. fill stores it in the plan and in
// its rooms; functions beside fill append it as JSON.
type part struct {
	name string
	// always: it is filled also where nothing has happened.
	always bool
	// after names the parts that it builds on.
	after []string
	// fill reads it for all rooms of the plan at once: from the live window if it is
	// there, and the rest in one statement for each kind.
	fill func(*Service, context.Context, *plan) error
	// isNew reports whether there is something in it, beside what belongs to rooms, that
	// is worth answering a waiting client for.
	isNew func(*plan) bool
	// isNewIn reports the same of a room; such rooms are in the answer.
	isNewIn func(*room) bool
}

// parts lists the parts in the order in which they are filled: each after those that it
// builds on.
var parts = []part{
	{
		name: "timelines", fill: (*Service).fillTimelines,
		isNewIn: func(r *room) bool { return r.limited || len(r.timeline) > 0 },
	},
	{
		name: "state", after: []string{"timelines"}, fill: (*Service).fillState,
		isNewIn: func(r *room) bool { return r.fullState || len(r.state.Events) > 0 },
	},
	{
		name: "aggregations", after: []string{"timelines"}, fill: (*Service).fillAggregations,
	},
	{
		name: "summaries", after: []string{"state"}, fill: (*Service).fillSummaries,
		isNewIn: func(r *room) bool { return r.summary != nil },
	},
	{
		name: "lazy-loaded members", after: []string{"timelines", "state", "summaries"}, fill: (*Service).fillLazyMembers,
		isNewIn: func(r *room) bool { return len(r.state.Events) > 0 },
	},
	{
		name: "stripped state", fill: (*Service).fillStripped,
	},
	{
		name: "account data", fill: (*Service).fillAccountData,
		isNew:   func(p *plan) bool { return p.moreData != nil || len(p.accountData) > 0 },
		isNewIn: func(r *room) bool { return r.moreData || len(r.accountData) > 0 },
	},
	{
		name: "receipts", fill: (*Service).fillReceipts,
		isNewIn: func(r *room) bool { return r.readFurther || r.moreReceipts || len(r.receipts) > 0 },
	},
	{
		name: "typing", fill: (*Service).fillTyping,
		isNewIn: func(r *room) bool { return r.typingChanged },
	},
	{
		name: "presence", fill: (*Service).fillPresence,
		isNew: (*plan).othersPresenceChanged,
	},
	{
		name: "to-device messages", always: true, fill: (*Service).fillToDevice,
		isNew: func(p *plan) bool { return len(p.toDevice) > 0 },
	},
	{
		name: "key counts", always: true, fill: (*Service).fillKeyCounts,
		isNew: (*plan).keyCountsChanged,
	},
	{
		name: "device lists", always: true, fill: (*Service).fillDeviceLists,
		isNew: (*plan).deviceListsChanged,
	},
	{
		name: "unread counts", fill: (*Service).fillUnread, // of the rooms in which something is new
		after: []string{"timelines", "state", "summaries", "lazy-loaded members", "account data", "receipts", "typing"},
	},
}

// fill fills all parts, and notes in which rooms something is new.
func (s *Service) fill(ctx context.Context, p *plan) error {
	idle := p.covered && len(p.rooms)+len(p.own) == 0 && !p.ephemeralChanged()
	all := p.parts()
	for i := range all {
		if idle && !all[i].always {
			continue
		}
		if err := all[i].fill(s, ctx, p); err != nil {
			return err
		}
		if isNewIn := all[i].isNewIn; isNewIn != nil {
			for _, r := range p.rooms {
				r.shown = r.shown || isNewIn(r)
			}
		}
	}
	return nil
}

// parts are the parts that the answer shows.
func (p *plan) parts() []part {
	if p.sliding != nil {
		return slidingParts
	}
	return parts
}

// empty reports whether there is nothing worth answering a waiting client for.
func (p *plan) empty() bool {
	return !slices.ContainsFunc(p.rooms, func(r *room) bool { return r.shown }) &&
		!slices.ContainsFunc(p.parts(), func(of part) bool { return of.isNew != nil && of.isNew(p) })
}
