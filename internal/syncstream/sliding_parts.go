package syncstream

import (
	"context"
	"slices"
)

// slidingParts lists the parts of an answer of sliding sync, as parts does those of /sync.
var slidingParts = []part{
	{
		name: "timelines", fill: (*Service).fillTimelines,
		isNewIn: func(r *room) bool { return r.limited || r.expanded || len(r.timeline) > 0 },
	},
	{
		name: "required state", after: []string{"timelines"}, fill: (*Service).fillRequired,
		isNewIn: func(r *room) bool {
			return r.fullState || len(r.state.Events) > 0 || r.nameChanged || r.avatarChanged
		},
	},
	{
		name: "aggregations", after: []string{"timelines"}, fill: (*Service).fillAggregations,
	},
	{
		name: "summaries", after: []string{"required state"}, fill: (*Service).fillSummaries,
		isNewIn: func(r *room) bool { return r.summary != nil },
	},
	{
		name: "names", after: []string{"summaries"}, fill: (*Service).fillNames,
	},
	{
		name: "stripped state", fill: (*Service).fillStripped,
	},
	{
		name: "account data", fill: where(func(e *Extensions) bool { return e.AccountData.Enabled }, (*Service).fillAccountData),
		isNew: func(p *plan) bool {
			return p.moreData != nil || len(p.accountData) > 0 || slices.ContainsFunc(p.rooms, func(r *room) bool { return len(r.accountData) > 0 })
		},
	},
	{
		name: "receipts", fill: (*Service).fillReceipts, // also where only counts change by them
		isNew: func(p *plan) bool {
			return slices.ContainsFunc(p.rooms, func(r *room) bool { return r.moreReceipts || len(r.receipts) > 0 })
		},
		isNewIn: func(r *room) bool { return r.readFurther },
	},
	{
		name: "typing", fill: where(func(e *Extensions) bool { return e.Typing.Enabled }, (*Service).fillTyping),
		isNew: func(p *plan) bool { return slices.ContainsFunc(p.rooms, func(r *room) bool { return r.typingChanged }) },
	},
	{
		name: "to-device messages", always: true, fill: (*Service).fillToDeviceUpTo,
		isNew: func(p *plan) bool { return len(p.toDevice) > 0 },
	},
	{
		name: "key counts", always: true, fill: where(withKeys, (*Service).fillKeyCounts),
		isNew: func(p *plan) bool { return p.keyCounts != nil && p.keyCountsChanged() },
	},
	{
		name: "device lists", always: true, fill: where(withKeys, (*Service).fillDeviceLists),
		isNew: (*plan).deviceListsChanged,
	},
	{
		name: "unread counts", fill: (*Service).fillUnread, // of the rooms in which something is new
		after: []string{"timelines", "required state", "summaries", "receipts"},
	},
	{
		name: "bump stamps", fill: (*Service).fillBumps, // likewise
		after: []string{"timelines", "required state", "summaries", "receipts"},
	},
}

func withKeys(e *Extensions) bool { return e.E2EE.Enabled }

// where makes the fill function of a part that is filled where an extension is enabled.
func where(on func(*Extensions) bool, fill func(*Service, context.Context, *plan) error) func(*Service, context.Context, *plan) error {
	return func(s *Service, ctx context.Context, p *plan) error {
		if !on(&p.sliding.request.Extensions) {
			return nil
		}
		return fill(s, ctx, p)
	}
}

// fillToDeviceUpTo reads the messages that wait for the device, as many as the client asks for.
func (s *Service) fillToDeviceUpTo(ctx context.Context, p *plan) error {
	if err := s.fillToDevice(ctx, p); err != nil {
		return err
	}
	if limit := p.sliding.request.Extensions.ToDevice.Limit; limit != nil && len(p.toDevice) > *limit {
		p.toDevice = p.toDevice[:*limit]
		p.toDeviceUpTo = p.toDevice[*limit-1].Position
	}
	return nil
}

// finishSliding works out what the client will know by the answer, and its token.
func (p *plan) finishSliding(s *Service, before string) {
	p.sliding.finish()
	durable := *p
	durable.toDeviceUpTo = p.upTo // messages have a token of their own
	p.sliding.token = s.token(&durable, before)
}
