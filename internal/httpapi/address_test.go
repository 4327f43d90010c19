package httpapi

import (
	"net/netip"
	"strings"
	"testing"
)

// A proxy that is trusted passes on what clients have put into the header.
func TestForwardedForByTheThousand(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
	c := b.serve(t, get("/it", ok))
	for _, value := range []string{strings.Repeat("10.0.0.1,", 10_000), strings.Repeat(",", 100_000), strings.Repeat("[", 50_000), "\xff\xfe"} {
		r := c.Request("GET", "/it", nil)
		r.Header.Set("X-Forwarded-For", value)
		c.Send(r).OK()
	}
}
