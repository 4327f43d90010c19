package policy

import (
	"crypto/sha256"
	"iter"
	"slices"
	"strings"

	"homeserver/internal/glob"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// maxRules bounds the rules in memory, of about 500 bytes each.
const maxRules = 200_000

// The reasons for which rules are not applied.
const (
	hitsServer = "it would hit this server"
	hitsAll    = "it would hit all users or rooms of this server"
	tooMany    = "too many rules with wildcards are like it, or it is too long"
)

// table has the rules of all lists, found by what they are about.
type table struct {
	serverName string
	byPlace    map[place]*Rule
	byEvent    map[string]*Rule
	sets       map[kind]*glob.Set[*Rule]
	hashed     map[kind]map[hash][]*Rule
	// applied counts the rules that are applied, and aboutAliases those of them that may be
	// about aliases. leftOut counts those for which there was no room.
	applied, aboutAliases, leftOut int
}

func newTable(serverName string) *table {
	t := &table{
		serverName: serverName, byPlace: map[place]*Rule{}, byEvent: map[string]*Rule{},
		sets: map[kind]*glob.Set[*Rule]{}, hashed: map[kind]map[hash][]*Rule{},
	}
	for _, k := range []kind{ofUsers, ofRooms, ofServers} {
		t.sets[k], t.hashed[k] = glob.NewSet[*Rule](k == ofServers), map[hash][]*Rule{}
	}
	return t
}

// put notes the rule that holds in a place; nil: none does. What is older than what is known
// changes nothing.
func (t *table) put(at place, from timeline.Place, r *Rule) {
	if old := t.byPlace[at]; old != nil {
		if from < old.from {
			return
		}
		t.remove(old)
	}
	switch {
	case r == nil:
		return
	case len(t.byPlace) >= maxRules:
		t.leftOut++
		return
	}
	t.byPlace[at], t.byEvent[r.EventID] = r, r
	if r.NotApplied = t.spared(r); r.NotApplied == "" && !t.apply(r) {
		r.NotApplied = tooMany
	}
	if r.NotApplied == "" {
		t.count(r, 1)
	}
}

func (t *table) apply(r *Rule) bool {
	if sum, ok := r.hash(); ok {
		t.hashed[kind(r.Kind)][sum] = append(t.hashed[kind(r.Kind)][sum], r)
		return true
	}
	return t.sets[kind(r.Kind)].Add(r.Entity, r)
}

func (t *table) count(r *Rule, n int) {
	t.applied += n
	if r.isAboutAlias() {
		t.aboutAliases += n
	}
}

// remove removes a rule.
func (t *table) remove(r *Rule) {
	delete(t.byPlace, r.at)
	delete(t.byEvent, r.EventID)
	if r.NotApplied != "" {
		return
	}
	t.count(r, -1)
	sum, ok := r.hash()
	if !ok {
		t.sets[kind(r.Kind)].Remove(r.Entity, r)
		return
	}
	of := t.hashed[kind(r.Kind)]
	if of[sum] = slices.DeleteFunc(of[sum], func(other *Rule) bool { return other == r }); len(of[sum]) == 0 {
		delete(of, sum)
	}
}

// spared returns why a rule is not applied, if it would hit this server, or all its users or
// rooms: by a mistake in a list nobody is to be locked out.
func (t *table) spared(r *Rule) string {
	hits := func(texts ...string) bool {
		p := glob.Compile(r.Entity, kind(r.Kind) == ofServers)
		sum, hashed := r.hash()
		return !slices.ContainsFunc(texts, func(text string) bool {
			return hashed && sha256.Sum256([]byte(text)) != sum || !hashed && !p.Match(text)
		})
	}
	const one, another = "zzzzzzzz", "0000000000000" // nobody is called so
	at := ":" + t.serverName
	switch {
	case kind(r.Kind) == ofServers && hits(matrix.HostOf(t.serverName)):
		return hitsServer
	case kind(r.Kind) == ofUsers && hits("@"+one+at, "@"+another+at),
		kind(r.Kind) == ofRooms && (hits("!"+one+at, "!"+another+at) || hits("#"+one+at, "#"+another+at) || hits("!"+one, "!"+another)):
		return hitsAll
	}
	return ""
}

// match yields the rules of a kind that hit an identifier.
func (t *table) match(k kind, id string) iter.Seq[*Rule] {
	return func(yield func(*Rule) bool) {
		for r := range t.sets[k].Match(id) {
			if !yield(r) {
				return
			}
		}
		if len(t.hashed[k]) == 0 {
			return
		}
		for _, r := range t.hashed[k][sha256.Sum256([]byte(id))] {
			if !yield(r) {
				return
			}
		}
	}
}

// allOfUser returns the rules that hit a user or the user's server.
func (t *table) allOfUser(userID string) []*Rule {
	_, server, _ := strings.Cut(userID, ":")
	return slices.AppendSeq(slices.Collect(t.match(ofUsers, userID)), t.match(ofServers, matrix.HostOf(server)))
}

// ofUser returns one of them; nil: there is none.
func (t *table) ofUser(userID string) *Rule {
	if all := t.allOfUser(userID); len(all) > 0 {
		return all[0]
	}
	return nil
}

// ofRoom returns a rule that hits a room by one of its names: its ID and aliases.
func (t *table) ofRoom(names []string) *Rule {
	for _, name := range names {
		for r := range t.match(ofRooms, name) {
			return r
		}
	}
	return nil
}
