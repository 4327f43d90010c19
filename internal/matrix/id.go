package matrix

import (
	"net"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxIDBytes is the greatest length of a user ID, room ID, room alias, event ID,
// event type or state key, sigil and server name included: appendices,
// "Common Identifier Format", and client-server API, "Size limits".
const MaxIDBytes = 255

// ParseUserID splits a user ID into its local part and its server name. It
// accepts the historical grammar, since such users may exist: any local part
// of printable ASCII without a colon. M_INVALID_PARAM otherwise.
// Appendices, "User Identifiers".
func ParseUserID(id string) (localpart, server string, err error) {
	localpart, server, ok := split('@', id)
	if !ok || !printableASCII(localpart) {
		return "", "", Errorf(InvalidParam, "%q is not a user ID of the form @name:server", clip(id))
	}
	return localpart, server, nil
}

// ParseRoomAlias splits a room alias into its local part and its server name.
// M_INVALID_PARAM for anything else. Appendices, "Room Aliases".
func ParseRoomAlias(alias string) (localpart, server string, err error) {
	localpart, server, ok := split('#', alias)
	if !ok || localpart == "" {
		return "", "", Errorf(InvalidParam, "%q is not a room alias of the form #name:server", clip(alias))
	}
	return localpart, server, nil
}

// IsText reports whether a text is UTF-8 without the character NUL, as the database
// requires it. Other texts are no part of anything that is stored.
func IsText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// IsRoomID reports whether the text can be a room ID: with a server name up to
// room version 11, without one from version 12 on. Appendices, "Room IDs".
func IsRoomID(id string) bool {
	return len(id) > 1 && len(id) <= MaxIDBytes && id[0] == '!' && IsText(id)
}

// IsEventID reports whether the text can be an event ID of any room version.
// Appendices, "Event IDs".
func IsEventID(id string) bool {
	return len(id) > 1 && len(id) <= MaxIDBytes && id[0] == '$' && IsText(id)
}

// IsUserLocalpart reports whether the text may be the local part of a new user
// ID: a-z, 0-9 and ._=-/+ only. Appendices, "User Identifiers".
func IsUserLocalpart(localpart string) bool {
	if localpart == "" {
		return false
	}
	for _, c := range []byte(localpart) {
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("._=-/+", rune(c)) {
			return false
		}
	}
	return true
}

// IsServerName reports whether the text is a server name: a DNS name or IP
// literal with an optional port. Appendices, "Server Name".
func IsServerName(name string) bool {
	host, port := name, ""
	if strings.HasPrefix(name, "[") {
		end := strings.IndexByte(name, ']')
		if end < 0 || net.ParseIP(name[1:end]) == nil {
			return false
		}
		host, port = "", name[end+1:]
	} else if colon := strings.IndexByte(name, ':'); colon >= 0 {
		host, port = name[:colon], name[colon:]
	}
	if port != "" {
		n, err := strconv.ParseUint(strings.TrimPrefix(port, ":"), 10, 16)
		if err != nil || port[0] != ':' || n == 0 || len(port) > 6 {
			return false
		}
	}
	return strings.HasPrefix(name, "[") || isHostname(host)
}

// HostOf returns a server name without its port, and an IPv6 address without its brackets.
// Appendices, "Server Name".
func HostOf(serverName string) string {
	if host, _, err := net.SplitHostPort(serverName); err == nil {
		return host
	}
	return strings.Trim(serverName, "[]")
}

func isHostname(host string) bool {
	if host == "" || len(host) > 230 {
		return false
	}
	for _, c := range []byte(host) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func split(sigil byte, id string) (localpart, server string, ok bool) {
	if len(id) > MaxIDBytes || id == "" || id[0] != sigil || !IsText(id) {
		return "", "", false
	}
	localpart, server, ok = strings.Cut(id[1:], ":")
	if !ok || server == "" || !IsServerName(server) {
		return "", "", false
	}
	return localpart, server, true
}

func printableASCII(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x21 || c > 0x7e {
			return false
		}
	}
	return true
}

// clip shortens a text, so that no stranger can fill an error message.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
