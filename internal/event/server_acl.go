package event

import (
	"encoding/json"
	"net/netip"

	"homeserver/internal/glob"
	"homeserver/internal/matrix"
)

// serverACL is the content of m.room.server_acl.
type serverACL struct {
	Allow           []string `json:"allow"`
	Deny            []string `json:"deny"`
	AllowIPLiterals *bool    `json:"allow_ip_literals"`
}

// allows reports whether a server may take part in the room. m.room.server_acl, in the order
// of its description.
func (a *serverACL) allows(serverName string) bool {
	host := matrix.HostOf(serverName)
	if _, err := netip.ParseAddr(host); err == nil && a.AllowIPLiterals != nil && !*a.AllowIPLiterals {
		return false
	}
	return !matchesAny(a.Deny, host) && matchesAny(a.Allow, host)
}

func matchesAny(patterns []string, host string) bool {
	for _, pattern := range patterns {
		if glob.Compile(pattern, true).Match(host) {
			return true
		}
	}
	return false
}

// CheckServerACL refuses an m.room.server_acl that is none, with M_BAD_JSON, and one by which
// the server of its sender would have no part in the room any more, with M_INVALID_PARAM: nobody
// there could take that back. Client-server API, "Server Access Control Lists (ACLs) for rooms".
func CheckServerACL(content []byte, serverName string) error {
	var fields map[string]json.RawMessage
	if json.Unmarshal(content, &fields) != nil {
		return matrix.Errorf(matrix.BadJSON, "the content must be an object")
	}
	var acl serverACL
	for name, value := range map[string]any{"allow": &acl.Allow, "deny": &acl.Deny} {
		if raw, ok := fields[name]; ok && json.Unmarshal(raw, value) != nil {
			return matrix.Errorf(matrix.BadJSON, "%s must be a list of strings", name)
		}
	}
	if raw, ok := fields["allow_ip_literals"]; ok && json.Unmarshal(raw, &acl.AllowIPLiterals) != nil {
		return matrix.Errorf(matrix.BadJSON, "allow_ip_literals must be true or false")
	}
	if !acl.allows(serverName) {
		return matrix.Errorf(matrix.InvalidParam, "these rules would exclude this server, %s, from the room: "+
			"allow must have a pattern that it matches, such as *, and deny none", serverName)
	}
	return nil
}
