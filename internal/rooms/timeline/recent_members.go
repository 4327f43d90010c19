package timeline

import (
	"context"
	"strconv"

	"homeserver/internal/event"
)

// Of a room that is too large to be kept, member events are kept that were asked for: those who
// wait for a message of somebody whom they don't know ask for the same one.

// mostAsked is how many member events of a large room are kept at most.
const mostAsked = 1000

// large returns the room that all of some questions are about, if it is too large to be kept; nil: it
// is not so.
func (rs *recents) large(members []MemberAt) *recent {
	if rs == nil || len(sameRoom(members, MemberAt.room)) < len(members) {
		return nil
	}
	r, ok := rs.rooms.Peek(members[0].Room)
	if !ok {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.status != recentRefused {
		return nil
	}
	return r
}

// membersOfLarge reads member events of a room that is too large to be kept, one caller after the
// other, so that the next one has what the first has read.
func (s *Store) membersOfLarge(ctx context.Context, r *recent, members []MemberAt, f *EventFilter) (List, error) {
	end, err := s.recents.asking.Take(ctx, strconv.FormatInt(int64(r.room), 10))
	if err != nil {
		return List{}, err //nolint:wrapcheck // the request is gone
	}
	defer end()
	known, rest, redactions := r.asked(members)
	list := List{Events: known}
	if len(rest) > 0 {
		stored, err := s.storedMembers(ctx, rest, nil)
		if err != nil {
			return List{}, err
		}
		r.keepAsked(rest, stored.Events, redactions)
		s.recents.rooms.Reweigh(r.room)
		list = list.And(stored)
	}
	if f != nil && len(list.Left) > 0 { // which were not read
		return s.storedMembers(ctx, members, f)
	}
	var wanted []*Event
	for _, e := range list.Events {
		if f.Match(e) {
			wanted = append(wanted, e)
		}
	}
	return List{byPlace(wanted), list.Left}, nil
}

// asked returns the member events that are kept, the other questions, and the number of redactions by
// now.
func (r *recent) asked(members []MemberAt) (known []*Event, rest []MemberAt, redactions int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, m := range members {
		if h := r.latest[event.StateKey{Type: event.TypeMember, Key: m.User}]; h != nil && h.holdsAt(m.At) {
			known = append(known, h.Event)
		} else {
			rest = append(rest, m)
		}
	}
	return known, rest, r.redactions
}

// keepAsked keeps member events that were read, each with the place that was asked for. An event that
// may have been redacted since is not kept.
func (r *recent) keepAsked(members []MemberAt, events []*Event, redactions int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.redactions != redactions || r.status != recentRefused {
		return
	}
	if r.latest == nil || len(r.latest) > mostAsked {
		r.latest = map[event.StateKey]*held{}
	}
	byUser, texts := map[string]*Event{}, compactor{}
	for _, e := range events {
		byUser[*e.StateKey] = e
	}
	for _, m := range members {
		if e := byUser[m.User]; e != nil {
			r.latest[event.StateKey{Type: event.TypeMember, Key: m.User}] = &held{Event: texts.compact(e), from: m.At, until: m.At + 1}
		}
	}
	r.weigh()
}
