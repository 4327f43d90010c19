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
		check := func(kind, sigil, localpart, server string, err error) {
			if err != nil {
				if !IsCode(err, InvalidParam) || !utf8.ValidString(err.Error()) || len(err.Error()) > 400 {
					t.Errorf("%s %q: %v", kind, id, err)
				}
				return
			}
			if sigil+localpart+":"+server != id || !IsServerName(server) || len(id) > MaxIDBytes || !utf8.ValidString(id) || strings.ContainsRune(id, 0) {
				t.Errorf("%s %q is taken for %q and %q", kind, id, localpart, server)
			}
		}
		localpart, server, err := ParseUserID(id)
		check("user", "@", localpart, server, err)
		localpart, server, err = ParseRoomAlias(id)
		check("alias", "#", localpart, server, err)
		if IsRoomID(id) && (id[0] != '!' || len(id) > MaxIDBytes || !utf8.ValidString(id)) || IsEventID(id) && (id[0] != '$' || len(id) > MaxIDBytes) {
			t.Errorf("%q passes for a room or an event", id)
		}
		if IsUserLocalpart(id) {
			if _, _, err := ParseUserID("@" + id + ":x"); err != nil && len(id) < 250 {
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
