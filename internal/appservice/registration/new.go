package registration

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Draft is what an operator says of a new application service.
type Draft struct {
	ID string
	// URL is where it listens; "": it is not called.
	URL string
	// Localpart is that of its own user; "": the ID.
	Localpart string
	// Users and Aliases are regular expressions of what is its own; "": nothing is.
	Users, Aliases string
}

// tokenBytes is how many random bytes a new token has.
const tokenBytes = 32

// File returns the content of a registration file for the draft, with fresh tokens, for a server
// with a name. The error says what of the draft cannot be.
func (d Draft) File(serverName string) (string, error) {
	if d.Localpart == "" {
		d.Localpart = d.ID
	}
	url := "null"
	if d.URL != "" {
		url = strconv.Quote(d.URL)
	}
	var text strings.Builder
	fmt.Fprintf(&text, `# An application service of %s. Anybody who has this file can act as each of its users: keep it secret.
id: %s
url: %s
as_token: %s
hs_token: %s
sender_localpart: %s
rate_limited: false
receive_ephemeral: false
protocols: []
namespaces:
`, serverName, strconv.Quote(d.ID), url, newToken(), newToken(), strconv.Quote(d.Localpart))
	for _, kind := range []struct{ name, regex string }{{"users", d.Users}, {"aliases", d.Aliases}, {"rooms", ""}} {
		if kind.regex == "" {
			fmt.Fprintf(&text, "  %s: []\n", kind.name)
			continue
		}
		fmt.Fprintf(&text, "  %s:\n    - exclusive: true\n      regex: %s\n", kind.name, strconv.Quote(kind.regex))
	}
	_, err := Parse("registration", []byte(text.String()), serverName)
	return text.String(), err
}

func newToken() string {
	random := make([]byte, tokenBytes)
	// crypto/rand.Read never returns an error: it ends the process instead.
	_, _ = rand.Read(random)
	return strconv.Quote(hex.EncodeToString(random)) // all digits would be a number
}
