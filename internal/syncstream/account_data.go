package syncstream

import (
	"context"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/push"
	"homeserver/internal/reserve"
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

// fillAccountData reads what the user has stored since the last answer, and all account
// data of rooms that are new to the client.
func (s *Service) fillAccountData(ctx context.Context, p *plan) error {
	var isNew []journal.RoomNID
	if !p.initial || p.sliding != nil {
		for _, r := range p.which(func(r *room) bool { return r.isBehind || p.isAnew(withAccountData, r) }) {
			isNew = append(isNew, r.nid)
		}
	}
	if p.dataAnew() {
		isNew = append(isNew, 0)
	}
	items, err := s.readItems(ctx, p, isNew, p.wantsItem)
	if err != nil {
		return err
	}
	if p.covered {
		items = lastOfEachKind(items)
	}
	for _, i := range items {
		p.addItem(i)
	}
	for nid := range p.moreData.Keys() {
		if nid != 0 {
			p.room(nid).moreData = true
		}
	}
	rulesChanged := slices.ContainsFunc(p.own, func(entry *journal.Entry) bool {
		_, ok := entry.Value.(*push.Changed)
		return ok
	})
	if !p.covered || rulesChanged || p.dataAnew() {
		return s.fillPushRules(ctx, p, rulesChanged)
	}
	return nil
}

// readItems returns what the user has stored since the last answer, and the older items
// of some rooms, oldest first, as far as they are wanted. Those from the live window
// include overwritten ones. Items that are too many to be held at once are in the
// plan's moreData instead.
func (s *Service) readItems(
	ctx context.Context, p *plan, before []journal.RoomNID, wants func(nid journal.RoomNID, typ string) bool,
) (items []*accountdata.Item, err error) {
	q := accountdata.Query{UserID: p.userID, After: p.since, UpTo: p.upTo, Rooms: before, Wants: wants}
	if p.covered {
		q.UpTo = q.After
	}
	if p.sliding != nil && p.initial { // of some rooms only
		q.After = q.UpTo
	}
	if items, p.moreData, err = s.Data.Read(ctx, q); err != nil || !p.covered {
		return items, err
	}
	for _, entry := range p.own {
		if i, ok := entry.Value.(*accountdata.Item); ok && entry.Position <= p.upTo && wants(i.Room, i.Type) {
			items = append(items, i)
		}
	}
	return items, nil
}

// lastOfEachKind leaves out overwritten items.
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

// wantsItem reports whether a piece of account data is shown.
func (p *plan) wantsItem(nid journal.RoomNID, typ string) bool {
	if nid == 0 {
		return p.filter.AccountData.MatchOther(typ, "")
	}
	r := p.room(nid)
	if r != nil && p.sliding != nil && !p.sliding.shows(withAccountData, r) {
		return false
	}
	return r != nil && r.hasTimeline() && wantsOf(p.filter.Room.AccountData, r, typ)
}

// dataAnew reports whether an answer of sliding sync shows all account data of the whole account.
func (p *plan) dataAnew() bool {
	return p.sliding != nil && (p.initial || p.sliding.fresh&withAccountData != 0)
}

func (p *plan) addItem(i *accountdata.Item) {
	if i.Room == 0 {
		p.accountData = append(p.accountData, accountEvent{i.Type, i.Content})
		return
	}
	r := p.room(i.Room)
	r.accountData = append(r.accountData, i)
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
	if p.initial || p.dataAnew() || changed || at > p.since {
		p.accountData = append(p.accountData, accountEvent{accountdata.TypePushRules, content})
	}
	return nil
}

// writeAccountData writes the list of the whole account's data.
func (p *plan) writeAccountData(ctx context.Context, w *reserve.Writer) error {
	return writeData(ctx, w, p.moreData, 0, p.accountData)
}

// writeRoomData writes the list of the account data of a room.
func (p *plan) writeRoomData(ctx context.Context, w *reserve.Writer, r *room) error {
	return writeData(ctx, w, p.moreData, r.nid, r.accountData)
}

type appender interface{ AppendJSON(dst []byte) []byte }

// writeData writes a list of account data: that of a room in some parts, and then the
// items that were read.
func writeData[T appender](
	ctx context.Context, w *reserve.Writer, parts *accountdata.Parts, nid journal.RoomNID, read []T,
) error {
	w.B = append(w.B, '[')
	l := list{w: w}
	for items, err := range parts.Of(ctx, nid) {
		if err != nil {
			return err
		}
		for _, i := range items {
			if err := l.add(i.AppendJSON); err != nil {
				return err
			}
		}
	}
	for i := range read {
		if err := l.add(read[i].AppendJSON); err != nil {
			return err
		}
	}
	w.B = append(w.B, ']')
	return nil
}
