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
	names, err := s.names(ctx, act)
	if err != nil {
		return nil, err
	}
	found := s.find(act, names)
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

// names returns the names of the room that rules may be about. Its aliases are looked up only
// if there is a rule about any.
func (s *Service) names(ctx context.Context, act rooms.Act) ([]string, error) {
	var names []string
	for _, name := range []string{act.RoomID, act.Alias} {
		if name != "" {
			names = append(names, name)
		}
	}
	s.mu.RLock()
	aliases := s.table != nil && s.table.aboutAliases > 0
	s.mu.RUnlock()
	if act.RoomID == "" || !aliases {
		return names, nil
	}
	more, err := s.o.Directory.AliasesOf(ctx, act.RoomID)
	return append(names, more...), err
}

// find finds the rules that are against an act.
func (s *Service) find(act rooms.Act, names []string) (found hits) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.table == nil { // entries were missed just now: what is committed later is later than this act
		return hits{}
	}
	found.room = s.table.ofRoom(names)
	if act.Kind == rooms.ToAlias || act.Kind == rooms.ToPublish {
		return found
	}
	found.actor = s.table.ofUser(act.UserID)
	if act.Invitee != "" {
		found.invitee = s.table.ofUser(act.Invitee)
	}
	return found
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
