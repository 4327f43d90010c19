package threepid_test

import (
	"strings"
	"testing"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func TestCanonicalEmail(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"bob@example.com":             "bob@example.com",
		"Bob@Example.COM":             "bob@example.com",
		" bob@example.com ":           "bob@example.com",
		"Strauß@Example.com":          "strauss@example.com", // the example of the specification
		"ΣΊΣΥΦΟΣ@example.com":         "σίσυφοσ@example.com",
		"a+b.c_d@sub.example.com":     "a+b.c_d@sub.example.com",
		"bob@bücher.example":          "bob@bücher.example",
		"bob@localhost":               "bob@localhost",
		"bob@[192.0.2.1]":             "",
		"bob@[IPv6:::1]":              "",
		"bob@[x:y]":                   "",
		"bob@127.0.0.1":               "",
		"bob@127.1":                   "",
		"bob@0x7f000001":              "",
		"bob@127.0.0.1.":              "",
		"bob@１２７.０.０.１":               "",
		"bob@127。0。0。1":               "",
		"":                            "",
		"bob":                         "",
		"bob@":                        "",
		"@example.com":                "",
		"Bob <bob@example.com>":       "",
		"<bob@example.com>":           "",
		"mailto:bob@example.com":      "",
		"bob@example.com, eve@e.com":  "",
		"bob@example.com\r\nBcc: e@e": "",
		"bob@exam\x00ple.com":         "",
		"\"bob eve\"@example.com":     "",
		"bob\xff@example.com":         "",
		strings.Repeat("a", 250) + "@example.com": "",
	} {
		got, err := threepid.CanonicalEmail(given)
		if want == "" {
			matrixtest.WantCode(t, err, matrix.InvalidParam)
			continue
		}
		if err != nil || got != (threepid.Address{Medium: "email", Address: want}) {
			t.Errorf("%q: got %v, %v, want %s", given, got, err, want)
		}
		if again, err := threepid.CanonicalEmail(got.Address); err != nil || again != got {
			t.Errorf("%q: folded again it is %v, %v", given, again, err)
		}
	}
}

func TestCanonicalPhone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ country, number, want string }{
		{"GB", "07700 900001", "447700900001"},
		{"gb", "07700900001", "447700900001"},
		{"GB", "+44 7700 900001", "447700900001"},
		{"", "+44 7700 900001", "447700900001"},
		{"US", "+44 7700 900001", "447700900001"},
		{"US", "(212) 555-0123", "12125550123"},
		{"DE", "0049 1512 3456789", "4915123456789"},
		{"", "07700 900001", ""},
		{"XX", "07700 900001", ""},
		{"GB", "", ""},
		{"GB", "123", ""},
		{"GB", "seven", ""},
		{"GB", "+44 7700 900001 900001", ""},
	} {
		got, err := threepid.CanonicalPhone(test.country, test.number)
		if test.want == "" {
			matrixtest.WantCode(t, err, matrix.InvalidParam)
			continue
		}
		if err != nil || got != (threepid.Address{Medium: "msisdn", Address: test.want}) {
			t.Errorf("%s %q: got %v, %v, want %s", test.country, test.number, got, err, test.want)
		}
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for _, given := range []threepid.Address{{Medium: "msisdn", Address: "447700900001"}, {Medium: "msisdn", Address: "+447700900001"}} {
		got, err := threepid.Canonical(given.Medium, given.Address)
		if err != nil || got.Address != "447700900001" {
			t.Errorf("%v: got %v, %v", given, got, err)
		}
	}
	if got, err := threepid.Canonical("email", "A@b.c"); err != nil || got.Address != "a@b.c" {
		t.Errorf("got %v, %v", got, err)
	}
	_, err := threepid.Canonical("pigeon", "a@b.c")
	matrixtest.WantCode(t, err, matrix.InvalidParam)
}

func FuzzCanonicalEmail(f *testing.F) {
	for _, seed := range []string{"bob@example.com", "Strauß@Example.com", "a@b@c", "\"a b\"@c", "a@[::1]", "İ@ı"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := threepid.CanonicalEmail(text)
		if err != nil {
			return
		}
		if strings.ContainsAny(got.Address, " \r\n\x00") || strings.Count(got.Address, "@") == 0 {
			t.Errorf("%q becomes %q", text, got.Address)
		}
		if again, err := threepid.CanonicalEmail(got.Address); err != nil || again != got {
			t.Errorf("%q becomes %q, and that %q, %v", text, got.Address, again.Address, err)
		}
	})
}
