package threepid_test

import (
	"strings"
	"testing"

	"homeserver/internal/auth/threepid"
)

// FuzzCanonicalPhone makes sure that a number is digits alone, and the same when it is
// read again.
func FuzzCanonicalPhone(f *testing.F) {
	for _, seed := range [][2]string{{"GB", "07700 900001"}, {"", "+49 151 12345678"}, {"DE", "0151/12345678"}, {"XX", "1"}, {"US", "1-800-FLOWERS"}, {"GB", "\x00"}, {"gb", "٠٧٧٠٠٩٠٠٠٠١"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, country, number string) {
		found, err := threepid.CanonicalPhone(country, number)
		if err != nil {
			return
		}
		if strings.Trim(found.Address, "0123456789") != "" || found.Address == "" || len(found.Address) > 20 {
			t.Fatalf("%q in %q is %q", number, country, found.Address)
		}
		again, err := threepid.Canonical(found.Medium, found.Address)
		if err != nil || again != found {
			t.Errorf("%q in %q is %q, and that is %q, %v", number, country, found.Address, again.Address, err)
		}
	})
}
