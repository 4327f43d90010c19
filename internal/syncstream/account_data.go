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

// fillAccountData gives what the user has stored since the last answer, and all
// that there is for rooms that are new to the client.
func (s *Service) fillAccountData(ctx context.Context, p *plan) error {
	items, rules := p.ownItems()
	if !p.covered {
		var err error
		if items, err = s.Data.Changes(ctx, p.userID, p.since, p.upTo); err != nil {
			return err
		}
	}
	older, err := s.olderItems(ctx, p)
	if err != nil {
		return err
	}
	for _, i := range append(older, items...) {
		p.addItem(i)
	}
	if !p.covered || rules {
		return s.fillPushRules(ctx, p, rules)
	}
	return nil
}

// ownItems gives the account data in the live window, the last of each kind, and
// whether the push rules have changed.
func (p *plan) ownItems() (items []*accountdata.Item, rules bool) {
	type kind struct {
		room journal.RoomNID
		typ  string
	}
	var seen map[kind]bool
	for _, entry := range slices.Backward(p.own) {
		switch value := entry.Value.(type) {
		case *accountdata.Item:
			k := kind{value.Room, value.Type}
			if seen[k] {
				continue
			}
			if seen == nil {
				seen = map[kind]bool{}
			}
			seen[k] = true
			items = append(items, value)
		case *push.Changed:
			rules = true
		}
	}
	slices.Reverse(items)
	return items, rules
}

// olderItems gives the account data, from before the last answer, of rooms that
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

// fillPushRules gives the push rules if they are new to the client.
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
