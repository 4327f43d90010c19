package sso

import (
	"fmt"
	"regexp"
	"strings"

	"homeserver/internal/matrix"
)

// claim matches a claim in a template, such as {preferred_username}.
var claim = regexp.MustCompile(`\{([A-Za-z0-9_.:/-]+)\}`)

// fill replaces the claims in a template by their values. It returns "" where one of them is missing, or is
// no text.
func fill(template string, claims map[string]any) string {
	missing := false
	filled := claim.ReplaceAllStringFunc(template, func(at string) string {
		switch value := claims[at[1:len(at)-1]].(type) {
		case string:
			missing = missing || value == ""
			return value
		case float64:
			return fmt.Sprintf("%.0f", value)
		default:
			missing = true
			return ""
		}
	})
	if missing {
		return ""
	}
	return strings.TrimSpace(filled)
}

// localpart makes the local part of a user ID of a text of any characters: letters become lower-case, and
// what a local part cannot have becomes = and the hexadecimal form of each byte. Appendices, "Mapping from
// other character sets".
func localpart(text string) string {
	var b strings.Builder
	for _, c := range []byte(strings.ToLower(text)) {
		if c != '=' && matrix.IsUserLocalpart(string(rune(c))) && c < 0x80 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	return b.String()
}
