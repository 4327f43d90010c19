package event

import "testing"

func TestServersThatAnACLAllows(t *testing.T) {
	t.Parallel()
	no := false
	acl := serverACL{Allow: []string{"*"}, Deny: []string{"evil.example", "*.evil.example"}}
	names := serverACL{Allow: []string{"*"}, AllowIPLiterals: &no}
	for _, test := range []struct {
		acl    serverACL
		server string
		want   bool
	}{
		{acl, "good.example", true},
		{acl, "evil.example", false},
		{acl, "EVIL.example:8448", false},
		{acl, "more.evil.example:1", false},
		{acl, "notevil.example", true},
		{acl, "192.0.2.1", true},
		{acl, "[2001:db8::1]:8448", true},
		{names, "192.0.2.1:8448", false},
		{names, "[2001:db8::1]", false},
		{names, "192.0.2.1.example", true},
		{serverACL{}, "good.example", false},
	} {
		if got := test.acl.allows(test.server); got != test.want {
			t.Errorf("%s is allowed: %v", test.server, got)
		}
	}
}
