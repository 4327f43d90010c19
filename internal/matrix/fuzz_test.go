package matrix

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzIDs makes sure that what passes for an identifier can stand in the database, in
// a URL and in an error message, and that its parts make it up again.
func FuzzIDs(f *testing.F) {
	for _, seed := range []string{
		"@alice:example.org", "@a=b/c:[2001:db8::1]:8448", "@:x", "#room:1.2.3.4:80", "#ü:localhost", "!abc:example.org", "!opaque", "$event",
		"$15:example.org", "@a:b:c", "@a:", ":", "", "@\x00:x", "@\xff:x", "#" + strings.Repeat("a", 300) + ":x", "[::1]:99999", "[]", "a:00080",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		localpart, server, err := ParseUserID(id)
		checkParts(t, "@", id, localpart, server, err)
		localpart, server, err = ParseRoomAlias(id)
		checkParts(t, "#", id, localpart, server, err)
		if fits := len(id) <= MaxIDBytes && utf8.ValidString(id); IsRoomID(id) && (id[0] != '!' || !fits) || IsEventID(id) && (id[0] != '$' || !fits) {
			t.Errorf("%q passes for a room or an event", id)
		}
		if IsUserLocalpart(id) && len(id) < 250 {
			if _, _, err := ParseUserID("@" + id + ":x"); err != nil {
				t.Errorf("%q may be registered, and makes no user ID: %v", id, err)
			}
		}
		if IsServerName(id) {
			if u, err := url.Parse("https://" + id + "/"); err != nil || u.Host != id || u.User != nil {
				t.Errorf("the server name %q leads to %v, %v", id, u, err)
			}
		}
	})
}

// checkParts checks what was made of an identifier with the sigil.
func checkParts(t *testing.T, sigil, id, localpart, server string, err error) {
	t.Helper()
	if err != nil {
		if !IsCode(err, InvalidParam) || !utf8.ValidString(err.Error()) || len(err.Error()) > 400 {
			t.Errorf("%q: %v", id, err)
		}
		return
	}
	if sigil+localpart+":"+server != id || !IsServerName(server) || len(id) > MaxIDBytes || !utf8.ValidString(id) || strings.ContainsRune(id, 0) {
		t.Errorf("%q is taken for %q and %q", id, localpart, server)
	}
}
