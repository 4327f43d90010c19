package policy

import (
	"cmp"
	"context"
	"slices"
)

// Effect is a rule, and what it would hit.
type Effect struct {
	*Rule
	// Hits counts the users, rooms and aliases, and Some has a few of them.
	Hits int
	Some []string
}

// someHits is how many of its hits an effect has.
const someHits = 5

// Effects are all rules with what they hit of that which is added.
type Effects struct {
	of    map[*Rule]*Effect
	table *table
	// LeftOut counts the rules for which there was no room.
	LeftOut int
}

// Effects returns the rules as they are now, to which users and rooms can be added.
func (s *Service) Effects(ctx context.Context) (*Effects, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := &Effects{of: map[*Rule]*Effect{}, table: s.table}
	if s.table == nil {
		e.table = newTable(s.o.ServerName)
	}
	e.LeftOut = e.table.leftOut
	for _, r := range e.table.byPlace {
		e.of[r] = &Effect{Rule: r}
	}
	return e, nil
}

// AddUser adds a user.
func (e *Effects) AddUser(userID string) { e.add(userID, e.table.allOfUser(userID)) }

// AddRoom adds the ID or an alias of a room.
func (e *Effects) AddRoom(name string) { e.add(name, slices.Collect(e.table.match(ofRooms, name))) }

func (e *Effects) add(name string, rules []*Rule) {
	for _, r := range rules {
		of := e.of[r]
		of.Hits++
		if len(of.Some) < someHits {
			of.Some = append(of.Some, name)
		}
	}
}

// List returns the effects, by list, kind and entity.
func (e *Effects) List() []*Effect {
	list := make([]*Effect, 0, len(e.of))
	for _, effect := range e.of {
		list = append(list, effect)
	}
	slices.SortFunc(list, func(a, b *Effect) int {
		return cmp.Or(cmp.Compare(a.List, b.List), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Entity, b.Entity), cmp.Compare(a.EventID, b.EventID))
	})
	return list
}
