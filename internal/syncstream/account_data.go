package syncstream

import (
	"context"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/push"
	"homeserver/internal/rooms/timeline"
)

// accountEvent is a piece of account data for the whole account.
type accountEvent struct {
	typ     string
	content []byte
}

// AppendJSON writes it as the event that clients see.
func (e accountEvent) AppendJSON(dst []byte) []byte {
	dst = append(append(dst, `{"content":`...), e.content...)
	dst = append(dst, `,"type":`...)
	return append(event.AppendString(dst, e.typ), '}')
}

// fillAccountData reads what the user has stored since the last answer, and all
// that there is for rooms that are new to the client.
func (s *Service) fillAccountData(ctx context.Context, p *plan) error {
	items, err := s.changedItems(ctx, p)
	if err != nil {
		return err
	}
	if p.covered {
		items = lastOfEachKind(items)
	}
	older, err := s.olderItems(ctx, p)
	if err != nil {
		return err
	}
	for _, i := range append(older, items...) {
		p.addItem(i)
	}
	rulesChanged := slices.ContainsFunc(p.own, func(entry *journal.Entry) bool {
		_, ok := entry.Value.(*push.Changed)
		return ok
	})
	if !p.covered || rulesChanged {
		return s.fillPushRules(ctx, p, rulesChanged)
	}
	return nil
}

// changedItems returns what the user has stored since the last answer, oldest first. The
// live window holds what was overwritten, too.
func (s *Service) changedItems(ctx context.Context, p *plan) ([]*accountdata.Item, error) {
	if !p.covered {
		return s.Data.Changes(ctx, p.userID, p.since, p.upTo)
	}
	var items []*accountdata.Item
	for _, entry := range p.own {
		if i, ok := entry.Value.(*accountdata.Item); ok && entry.Position <= p.upTo {
			items = append(items, i)
		}
	}
	return items, nil
}

// lastOfEachKind leaves out what was overwritten.
func lastOfEachKind(items []*accountdata.Item) []*accountdata.Item {
	if len(items) < 2 {
		return items
	}
	type kind struct {
		room journal.RoomNID
		typ  string
	}
	last := make(map[kind]*accountdata.Item, len(items))
	for _, i := range items {
		last[kind{i.Room, i.Type}] = i
	}
	return slices.DeleteFunc(items, func(i *accountdata.Item) bool { return last[kind{i.Room, i.Type}] != i })
}

// olderItems returns the account data, from before the last answer, of rooms that
// are new to the client.
func (s *Service) olderItems(ctx context.Context, p *plan) ([]*accountdata.Item, error) {
	if p.initial {
		return nil, nil
	}
	var nids []journal.RoomNID
	for _, r := range p.rooms {
		if r.isNew {
			nids = append(nids, r.nid)
		}
	}
	if len(nids) == 0 {
		return nil, nil
	}
	return s.Data.OfRooms(ctx, p.userID, nids, p.since)
}

func (p *plan) addItem(i *accountdata.Item) {
	if i.Room == 0 {
		if p.filter.AccountData.MatchOther(i.Type, "") {
			p.accountData = append(p.accountData, accountEvent{i.Type, i.Content})
		}
		return
	}
	if r := p.room(i.Room); r != nil && r.hasTimeline() && wantsOf(p.filter.Room.AccountData, r, i.Type) {
		r.accountData = append(r.accountData, i)
	}
}

func wantsOf(f *timeline.EventFilter, r *room, typ string) bool {
	return f.WantsRoom(r.id) && f.MatchOther(typ, "")
}

// fillPushRules adds the push rules if they are new to the client.
func (s *Service) fillPushRules(ctx context.Context, p *plan, changed bool) error {
	if !p.filter.AccountData.MatchOther(accountdata.TypePushRules, "") {
		return nil
	}
	content, at, err := s.Push.RulesEvent(ctx, p.userID)
	if err != nil {
		return err
	}
	if p.initial || changed || at > p.since {
		p.accountData = append(p.accountData, accountEvent{accountdata.TypePushRules, content})
	}
	return nil
}
