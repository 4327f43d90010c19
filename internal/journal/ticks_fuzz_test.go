package journal

import "testing"

// FuzzParse makes sure that no token leads beyond the present.
func FuzzParse(f *testing.F) {
	c := NewTicks()
	for _, seed := range []string{"", "x.1", c.instance + ".0", c.instance + ".-1", c.instance + ".9223372036854775807", "a.1_b.2", c.instance, "_", "..."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if tick := c.Parse(text); tick > c.Now() || tick < 0 && tick != Elsewhere {
			t.Errorf("%q is the tick %d", text, tick)
		}
	})
}
