package invitepermission

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/glob"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/accountdata"
)

// Service knows which invites users want. Its methods may be called concurrently.
type Service struct {
	data  *accountdata.Service
	cache *cache.Cache[string, *Permission]
}

// New makes the service, which takes so many bytes of memory; 0: [cache.UsualShare]. Call it
// before the journal is started.
func New(data *accountdata.Service, j *journal.Journal, share int) *Service {
	s := &Service{data: data, cache: cache.New(share, weigh)}
	j.Observe(journal.Observer{Committed: s.committed, Reset: func(journal.Position) { s.cache.ForgetAll() }})
	return s
}

// Caches reports the use of the cache.
func (s *Service) Caches() cache.Caches { return cache.Caches{"invite_permissions": s.cache.Stats} }

// Erase forgets what a user wanted whose account data is erased.
func (s *Service) Erase(_ context.Context, userID string) error {
	s.cache.Forget(userID)
	return nil
}

// committed forgets what has changed. It runs inside the journal.
func (s *Service) committed(_ journal.View, entries []*journal.Entry) {
	for _, entry := range entries {
		if i, ok := entry.Value.(*accountdata.Item); ok && i.IsInvitePermission() {
			s.cache.Forget(i.UserID)
		}
	}
}

// Permission is which invites a user wants. It does not change. The one of a user who
// wants all is nil.
type Permission struct {
	blocked bool // all of them
	// The lists of users and servers, by what is done with their invites.
	allow, ignore, block patterns
	bytes                int    // of the content
	stamp                uint64 // differs where the content does
}

// patterns are some users and servers; a nil set has none.
type patterns struct{ users, servers *glob.Set[bool] }

func (p *patterns) match(userID string) bool {
	_, server, _ := strings.Cut(userID, ":")
	return has(p.users, userID) || has(p.servers, server)
}

func has(s *glob.Set[bool], text string) bool {
	if s != nil {
		for range s.Match(text) {
			return true
		}
	}
	return false
}

// Refuses reports whether invites of a user are refused.
func (p *Permission) Refuses(sender string) bool {
	if p == nil || p.blocked {
		return p != nil
	}
	return !p.allow.match(sender) && !p.ignore.match(sender) && p.block.match(sender)
}

// Hides reports whether invites of a user are not shown: those that are refused now may have
// come before, and those that are ignored come still.
func (p *Permission) Hides(sender string) bool {
	if p == nil || p.blocked {
		return p != nil
	}
	return !p.allow.match(sender) && (p.ignore.match(sender) || p.block.match(sender))
}

// add adds what an item says. Values of a form that is not known say nothing: so all invites
// are wanted without them.
func (p *Permission) add(typ string, content []byte) {
	if typ != accountdata.TypeInviteFilter {
		action, _ := event.StringField(content, "default_action")
		p.blocked = p.blocked || action == "block"
		return
	}
	for name, of := range map[string]*patterns{"allowed": &p.allow, "ignored": &p.ignore, "blocked": &p.block} {
		of.users = listed(content, name+"_users", false)
		of.servers = listed(content, name+"_servers", true)
	}
}

// listed reads a list of patterns.
func listed(content []byte, member string, fold bool) *glob.Set[bool] {
	var list []json.RawMessage
	if json.Unmarshal(event.Field(content, member), &list) != nil || len(list) == 0 {
		return nil
	}
	set := glob.NewSet[bool](fold)
	for _, raw := range list {
		var pattern string
		if json.Unmarshal(raw, &pattern) == nil {
			set.Add(pattern, true)
		}
	}
	return set
}

// weigh estimates the bytes of a permission in memory.
func weigh(userID string, p **Permission) int {
	const structs, perByte = 350, 20 // the shortest patterns need most
	bytes := structs + cache.Text(userID)
	if p != nil && *p != nil {
		bytes += perByte * (*p).bytes
	}
	return bytes
}

// OfUser returns which invites a user wants; nil: all.
func (s *Service) OfUser(ctx context.Context, userID string) (*Permission, error) {
	all, err := s.Of(ctx, []string{userID})
	return all[userID], err
}

// Of returns which invites some users want: those who want all are left out.
// Those that are not in memory are read in one statement.
func (s *Service) Of(ctx context.Context, userIDs []string) (map[string]*Permission, error) {
	found := map[string]*Permission{}
	places := map[string]cache.Place[string, *Permission]{}
	var unknown []string
	for _, userID := range userIDs {
		place := s.cache.Place(userID)
		if known := place.Load(); known == nil {
			unknown, places[userID] = append(unknown, userID), place
		} else if *known != nil {
			found[userID] = *known
		}
	}
	if len(unknown) == 0 {
		return found, nil
	}
	read, err := s.read(ctx, unknown)
	if err != nil {
		return nil, err
	}
	for userID, place := range places {
		p := read[userID]
		place.Store(&p)
		if p != nil {
			found[userID] = p
		}
	}
	return found, nil
}

// Hidden returns whether invites by another user are not shown to a user; nil: all are
// shown. The stamp changes with the answers.
func (s *Service) Hidden(ctx context.Context, userID string) (hides func(sender string) bool, stamp uint64, err error) {
	p, err := s.OfUser(ctx, userID)
	if p == nil {
		return nil, 0, err
	}
	return p.Hides, p.stamp, err
}

// stampSeed makes the stamps, so that nobody can make content that has the same.
var stampSeed = maphash.MakeSeed()

// read reads which invites some users want.
func (s *Service) read(ctx context.Context, userIDs []string) (map[string]*Permission, error) {
	items, err := s.data.OfUsers(ctx, userIDs, accountdata.InvitePermissionTypes())
	if err != nil {
		return nil, fmt.Errorf("read which invites users want: %w", err)
	}
	found := map[string]*Permission{}
	for _, i := range items {
		p := found[i.UserID]
		if p == nil {
			p = &Permission{}
			found[i.UserID] = p
		}
		p.add(i.Type, i.Content)
		p.bytes += len(i.Content)
		p.stamp += maphash.String(stampSeed, i.Type+string(i.Content)) // in any order
	}
	return found, nil
}

// MayInvite returns M_INVITE_BLOCKED where an invite by a user to another is refused, for each
// pair of sender and invitee; nil where it is not. Client-server API, "Invite permission".
func (s *Service) MayInvite(ctx context.Context, pairs [][2]string) ([]error, error) {
	invitees := make([]string, len(pairs))
	for i, pair := range pairs {
		invitees[i] = pair[1]
	}
	slices.Sort(invitees)
	permissions, err := s.Of(ctx, slices.Compact(invitees))
	if err != nil || len(permissions) == 0 {
		return nil, err
	}
	refusals := make([]error, len(pairs))
	for i, pair := range pairs {
		if permissions[pair[1]].Refuses(pair[0]) {
			refusals[i] = matrix.Errorf(matrix.InviteBlocked, "%s does not want to be invited", pair[1])
		}
	}
	return refusals, nil
}
