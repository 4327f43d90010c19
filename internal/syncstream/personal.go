package syncstream

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/typing"
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
		if items, err = s.Data.Changes(ctx, p.UserID, p.since, p.upTo); err != nil {
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
		if r.fresh {
			nids = append(nids, r.nid)
		}
	}
	if len(nids) == 0 {
		return nil, nil
	}
	return s.Data.OfRooms(ctx, p.UserID, nids, p.since)
}

func (p *plan) addItem(i *accountdata.Item) {
	if i.Room == 0 {
		if p.filter.AccountData.MatchOther(i.Type, "") {
			p.accountData = append(p.accountData, accountEvent{i.Type, i.Content})
		}
		return
	}
	if r := p.quiet(i.Room); r != nil && r.hasTimeline() && wantsOf(p.filter.Room.AccountData, r, i.Type) {
		r.AccountData = append(r.AccountData, i)
	}
}

func wantsOf(f *timeline.EventFilter, r *Room, typ string) bool {
	return f.WantsRoom(r.RoomID) && f.MatchOther(typ, "")
}

// fillPushRules gives the push rules if they are new to the client.
func (s *Service) fillPushRules(ctx context.Context, p *plan, changed bool) error {
	if !p.filter.AccountData.MatchOther(accountdata.TypePushRules, "") {
		return nil
	}
	content, at, err := s.Push.RulesEvent(ctx, p.UserID)
	if err != nil {
		return err
	}
	if p.initial || changed || at > p.since {
		p.accountData = append(p.accountData, accountEvent{accountdata.TypePushRules, content})
	}
	return nil
}

// fillReceipts gives the receipts since the last answer, and all that there are in
// rooms that are new to the client.
func (s *Service) fillReceipts(ctx context.Context, p *plan) error {
	var stored []receipts.Since
	for _, r := range p.rooms {
		switch {
		case r.Section != Joined:
		case r.fresh:
			stored = append(stored, receipts.Since{Room: r.nid})
		case !r.inWindow:
			stored = append(stored, receipts.Since{Room: r.nid, After: p.since})
		default:
			for _, entry := range r.live {
				if receipt, ok := entry.Value.(*receipts.Receipt); ok && entry.Position <= r.upTo {
					p.addReceipt(r, receipt)
				}
			}
		}
	}
	for _, entry := range p.own {
		if receipt, ok := entry.Value.(*receipts.Receipt); ok {
			if r := p.quiet(receipt.Room); r != nil && r.inWindow && !r.fresh {
				p.addReceipt(r, receipt)
			}
		}
	}
	if len(stored) == 0 {
		return nil
	}
	found, err := s.Receipts.Changes(ctx, p.UserID, stored, p.upTo)
	if err != nil {
		return err
	}
	for _, receipt := range found {
		p.addReceipt(p.quiet(receipt.Room), receipt)
	}
	return nil
}

// typeReceipt, typeTyping and typePresence are the types of events that are not
// part of a room's history.
const (
	typeReceipt  = "m.receipt"
	typeTyping   = "m.typing"
	typePresence = "m.presence"
)

// addReceipt adds a receipt, unless the filter or the list of ignored users keeps it
// out. That the reader has read on changes the counts in any case.
func (p *plan) addReceipt(r *Room, receipt *receipts.Receipt) {
	r.readOn = r.readOn || receipt.UserID == p.UserID
	if wantsOf(p.filter.Room.Ephemeral, r, typeReceipt) && !p.viewer.ignores(receipt.UserID) {
		r.Receipts = append(r.Receipts, receipt)
	}
}

// fillEphemeral gives who is typing, and whose presence has changed: since the
// last answer, or ever, where a room is new to the client.
func (s *Service) fillEphemeral(_ context.Context, p *plan) error {
	var fresh map[journal.RoomNID]bool
	for _, r := range p.rooms {
		if r.fresh && r.Section == Joined {
			if fresh == nil {
				fresh = map[journal.RoomNID]bool{}
			}
			fresh[r.nid] = true
		}
	}
	if p.tick > 0 && p.tickUpTo <= p.tick && fresh == nil {
		return nil
	}
	isJoined := func(nid journal.RoomNID) bool { return p.joinedRoom(nid) != nil }
	for _, t := range s.Typing.Changed(p.tick, isJoined) {
		p.addTyping(t, p.tick != 0 && !fresh[t.Room])
	}
	var isFresh func(journal.RoomNID) bool
	if fresh != nil {
		isFresh = func(nid journal.RoomNID) bool { return fresh[nid] }
		for nid := range fresh {
			p.addTyping(s.Typing.Now(nid), false)
		}
	}
	for _, state := range s.Presence.Changed(p.UserID, p.tick, isJoined, isFresh) {
		if p.filter.Presence.MatchOther(typePresence, state.UserID) && !p.viewer.ignores(state.UserID) {
			p.presence = append(p.presence, state)
		}
	}
	return nil
}

// addTyping tells who is typing in a room; that nobody is, only where that is news.
func (p *plan) addTyping(t typing.Typing, evenNobody bool) {
	users := t.Users
	if len(p.viewer.ignored) > 0 {
		users = slices.DeleteFunc(slices.Clone(users), p.viewer.ignores)
	}
	if len(users) == 0 && !evenNobody {
		return
	}
	if r := p.quiet(t.Room); r != nil && wantsOf(p.filter.Room.Ephemeral, r, typeTyping) {
		r.Typing, r.NewTyping = users, true
	}
}

// fillUnread counts the notifications of the rooms that the answer tells of.
func (s *Service) fillUnread(ctx context.Context, p *plan) error {
	told := p.which(func(r *Room) bool { return r.Section == Joined && r.tells() })
	if len(told) == 0 {
		return nil
	}
	nids := make([]journal.RoomNID, len(told))
	for i, r := range told {
		nids[i] = r.nid
	}
	counts, err := s.Push.Counts(ctx, p.UserID, nids, p.upTo)
	if err != nil {
		return err
	}
	for _, r := range told {
		unread := counts[r.nid]
		r.Unread = &unread
	}
	return nil
}

func (r *Room) appendEphemeral(dst []byte) []byte {
	n := len(r.Receipts)
	if n > 0 {
		dst = receipts.AppendEvents(dst, r.Receipts)
	}
	if r.NewTyping {
		dst = typing.AppendJSON(comma(dst, n), r.Typing)
	}
	return dst
}

// appendUnread writes the counts: of the main timeline and of each thread, where
// the client asks for that and there are any, else of all together.
func (a *Answer) appendUnread(dst []byte, u *push.Unread) []byte {
	dst = append(dst, `,"unread_notifications":`...)
	if f := a.filter.Room.Timeline; f == nil || !f.ThreadNotifications {
		return appendCount(dst, u.Total())
	}
	dst = appendCount(dst, u.Main)
	if len(u.Threads) == 0 {
		return dst
	}
	dst = append(dst, `,"unread_thread_notifications":{`...)
	for i, root := range slices.Sorted(maps.Keys(u.Threads)) {
		dst = event.AppendString(comma(dst, i), root)
		dst = appendCount(append(dst, ':'), u.Threads[root])
	}
	return append(dst, '}')
}

func appendCount(dst []byte, c push.Count) []byte {
	dst = strconv.AppendInt(append(dst, `{"highlight_count":`...), int64(c.Highlight), 10)
	dst = strconv.AppendInt(append(dst, `,"notification_count":`...), int64(c.Notification), 10)
	return append(dst, '}')
}
