package spaces

import "testing"

// FuzzParseToken checks that a token is the same after it was parsed and written again.
func FuzzParseToken(f *testing.F) {
	for _, seed := range []string{"", "1a1_1_1", "1s20_1_1_2_3", "1a1_1", "-1a1_1_1", "1as1_1_1", "1a1_1_1_", "1a01_1_1", "9223372036854775807a1_1_1", "\x00", "a_s_", "1s1s_1_1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if parsed, err := parseToken(text); err == nil && parsed.String() != text {
			t.Errorf("%q is read as %q", text, parsed)
		}
	})
}
