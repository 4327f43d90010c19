package seed

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
)

// checker checks what a seed says against itself: names that are used must be there.
type checker struct {
	*problems
	s          *Seed
	serverName string
	now        time.Time
	// users and aliases are those that there are, rooms the names of rooms in the file.
	users, rooms, aliases, tokens map[string]bool
}

func newChecker(p *problems, s *Seed, serverName string, others []string) *checker {
	c := &checker{
		problems: p, s: s, serverName: serverName, now: time.Now(),
		users: map[string]bool{}, rooms: map[string]bool{}, aliases: map[string]bool{}, tokens: map[string]bool{},
	}
	for _, name := range others {
		c.users[userID(name, serverName)] = true
	}
	return c
}

// userID returns the user ID for a name in the file, which may be a whole one.
func userID(name, serverName string) string {
	if strings.HasPrefix(name, "@") {
		return name
	}
	return "@" + strings.ToLower(name) + ":" + serverName
}

func (c *checker) seed() {
	if c.s.Now.set && c.s.Now.fixed.IsZero() {
		c.report(c.s.Now.Line, "now", "must be a time such as 2026-03-01T09:30:00Z")
	} else if c.s.Now.set {
		c.now = c.s.Now.fixed
	}
	for i := range c.s.Users {
		c.user(&c.s.Users[i], fmt.Sprintf("users[%d]", i))
	}
	for i := range c.s.Rooms {
		c.roomName(&c.s.Rooms[i], fmt.Sprintf("rooms[%d]", i))
	}
	for i := range c.s.Rooms {
		c.room(&c.s.Rooms[i], fmt.Sprintf("rooms[%d]", i))
	}
}

func (c *checker) user(u *User, key string) {
	id := userID(u.Name.Value, c.serverName)
	localpart, server, err := matrix.ParseUserID(id)
	switch {
	case u.Name.Value == "":
		c.report(u.Line, join(key, "name"), "is missing")
	case err != nil || server != c.serverName || !matrix.IsUserLocalpart(localpart):
		c.report(u.Name.Line, join(key, "name"), "may only contain a-z, 0-9 and . _ = - / +")
	case c.users[id]:
		c.report(u.Name.Line, join(key, "name"), "is the name of another user")
	}
	c.users[id] = true
	c.file(u.Avatar, join(key, "avatar"))
	ids := map[string]bool{}
	for i, d := range u.Devices {
		at := fmt.Sprintf("%s.devices[%d]", key, i)
		if d.ID != "" && ids[d.ID] {
			c.report(d.Line, join(at, "id"), "is that of another device of the user")
		}
		if d.AccessToken != "" && c.tokens[d.AccessToken] {
			c.report(d.Line, join(at, "access_token"), "is that of another device")
		}
		ids[d.ID], c.tokens[d.AccessToken] = true, true
	}
	c.objects(u.AccountData, join(key, "account_data"))
}

// objects reports values that are no JSON objects.
func (c *checker) objects(values map[string]json.RawMessage, key string) {
	for name, value := range values {
		if !isObject(value) {
			c.report(c.lines[join(key, name)], join(key, name), "must be a mapping of keys to values")
		}
	}
}

func isObject(value json.RawMessage) bool { return len(value) > 0 && value[0] == '{' }

// file reports a file that cannot be read.
func (c *checker) file(name Text, key string) {
	if name.Value == "" {
		return
	}
	info, err := os.Stat(c.s.fileAt(name.Value))
	if err != nil || !info.Mode().IsRegular() {
		c.report(name.Line, key, "is no file that can be read; paths are relative to the folder of the seed file")
	}
}

// fileAt returns the path of a file that the seed names.
func (s *Seed) fileAt(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(s.path), name)
}

// knownUser reports a name of a user who is not there.
func (c *checker) knownUser(name Text, line int, key string) {
	switch {
	case name.Value == "":
		c.report(line, key, "is missing: it names a user of the seed")
	case !c.users[userID(name.Value, c.serverName)]:
		c.report(max(name.Line, line), key, "names %q, who is not among the users of the seed", name.Value)
	}
}

// past reports a time that lies in the future.
func (c *checker) past(t Time, key string) {
	if t.set && t.fixed.After(c.now) {
		c.report(t.Line, key, "lies in the future")
	}
}

func (c *checker) roomName(r *Room, key string) {
	if r.ID.Value != "" && c.rooms[r.ID.Value] {
		c.report(r.ID.Line, join(key, "id"), "is that of another room")
	}
	c.rooms[r.ID.Value] = true
}

func (c *checker) room(r *Room, key string) {
	c.knownUser(r.Creator, r.Line, join(key, "creator"))
	if _, ok := event.LookupVersion(r.Version); r.Version != "" && !ok {
		c.report(r.Line, join(key, "version"), "must be a room version from 1 to 12")
	}
	if r.Alias != "" && c.aliases[r.Alias] {
		c.report(r.Line, join(key, "alias"), "is that of another room")
	}
	c.aliases[r.Alias] = true
	c.file(r.Avatar, join(key, "avatar"))
	c.past(r.At, join(key, "at"))
	for i := range r.Members {
		m, at := &r.Members[i], fmt.Sprintf("%s.members[%d]", key, i)
		c.knownUser(m.User, m.Line, join(at, "user"))
		if m.By.Value != "" {
			c.knownUser(m.By, m.Line, join(at, "by"))
		}
		c.past(m.At, join(at, "at"))
	}
	for i, child := range r.Children {
		if !c.rooms[child.Value] && !matrix.IsRoomID(child.Value) {
			c.report(child.Line, fmt.Sprintf("%s.children[%d]", key, i), "is neither the id of a room of the seed nor a room ID")
		}
	}
	c.messages(r, key)
	c.personal(r, key)
}
