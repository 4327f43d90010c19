package syncstream

import "testing"

func TestPartsAreFilledAfterThoseThatTheyBuildOn(t *testing.T) {
	t.Parallel()
	filled := map[string]bool{}
	for _, of := range parts {
		for _, before := range of.after {
			if !filled[before] {
				t.Errorf("%s are filled before %s", of.name, before)
			}
		}
		filled[of.name] = true
	}
}
