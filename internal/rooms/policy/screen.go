package policy

import (
	"context"
	"slices"

	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

// toRegister is the act of registering, which is none in a room.
const toRegister rooms.ActKind = "register"

// Screen refuses what a rule is against, with M_FORBIDDEN. It is a [rooms.Screen].
func (s *Service) Screen(ctx context.Context, acts []rooms.Act) ([]error, error) {
	if len(s.o.Lists) == 0 {
		return nil, nil
	}
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	var refusals []error
	for i, act := range acts {
		refusal, err := s.screen(ctx, act)
		if err != nil {
			return nil, err
		}
		if refusal == nil {
			continue
		}
		if refusals == nil {
			refusals = make([]error, len(acts))
		}
		refusals[i] = refusal
	}
	return refusals, nil
}

// MayRegister returns M_FORBIDDEN for a user ID that a rule is against.
func (s *Service) MayRegister(ctx context.Context, userID string) error {
	refusals, err := s.Screen(ctx, []rooms.Act{{Kind: toRegister, UserID: userID}})
	if err != nil || refusals == nil {
		return err
	}
	return refusals[0]
}

// hits are the rules that are against an act, by what they are about; nil: none is.
type hits struct{ actor, invitee, room *Rule }

// screen returns the refusal of an act; nil: it may be done.
func (s *Service) screen(ctx context.Context, act rooms.Act) (refusal, err error) {
	found, ok, err := s.find(ctx, act)
	for ; !ok && err == nil; found, ok, err = s.find(ctx, act) { // entries were missed just now
		if err := s.ready(ctx); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	if found == (hits{}) {
		return nil, nil
	}
	if found, err = s.spareAdmins(ctx, act, found); err != nil {
		return nil, err
	}
	rule, refused := found.refusal(act)
	if rule == nil {
		return nil, nil
	}
	s.metrics.refused(act.Kind, s.o.DryRun)
	message := "a policy list is against something, which is refused"
	if s.o.DryRun {
		message, refused = "a policy list is against something, which would be refused but for policy_lists.dry_run", nil
	}
	s.o.Log.InfoContext(ctx, message, "act", act.Kind, "user", act.UserID, "invitee", act.Invitee, "room", act.RoomID, "alias", act.Alias,
		"list", rule.List, "rule", rule.EventID)
	return refused, nil
}

// find finds the rules that are against an act; false: the rules have to be loaded.
func (s *Service) find(ctx context.Context, act rooms.Act) (found hits, ok bool, err error) {
	names := slices.DeleteFunc([]string{act.RoomID, act.Alias}, func(name string) bool { return name == "" })
	s.mu.RLock()
	ok = s.table != nil
	aliases := ok && s.table.aboutAliases > 0
	s.mu.RUnlock()
	if !ok {
		return hits{}, false, nil
	}
	if aliases && act.RoomID != "" { // looked up only if there is a rule about any
		more, err := s.o.Directory.AliasesOf(ctx, act.RoomID)
		if err != nil {
			return hits{}, false, err //nolint:wrapcheck // it says what was attempted
		}
		names = append(names, more...)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.table == nil {
		return hits{}, false, nil
	}
	found.room = s.table.ofRoom(names)
	if act.Kind == rooms.ToAlias || act.Kind == rooms.ToPublish {
		return found, true, nil
	}
	found.actor = s.table.ofUser(act.UserID)
	if act.Invitee != "" {
		found.invitee = s.table.ofUser(act.Invitee)
	}
	return found, true, nil
}

// spareAdmins leaves out what is not for administrators.
func (s *Service) spareAdmins(ctx context.Context, act rooms.Act, found hits) (hits, error) {
	if s.o.Admins == nil {
		return found, nil
	}
	admins, err := s.o.Admins(ctx, []string{act.UserID, act.Invitee})
	if slices.Contains(admins, act.UserID) {
		return hits{}, err
	}
	if slices.Contains(admins, act.Invitee) {
		found.invitee = nil
	}
	return found, err
}

// refusal returns the rule that counts, and the error for the client, which says nothing of
// the rule.
func (found hits) refusal(act rooms.Act) (*Rule, error) {
	switch {
	case act.Kind == toRegister && found.actor != nil:
		return found.actor, matrix.Errorf(matrix.Forbidden, "the policy of this server is against this user name")
	case found.actor != nil:
		return found.actor, matrix.Errorf(matrix.Forbidden, "the policy of this server keeps you from entering rooms and inviting to them")
	case found.invitee != nil:
		return found.invitee, matrix.Errorf(matrix.Forbidden, "the policy of this server keeps %s from entering rooms", act.Invitee)
	case found.room != nil:
		return found.room, matrix.Errorf(matrix.Forbidden, "the policy of this server is against this room")
	}
	return nil, nil
}
