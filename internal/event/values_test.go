package event_test

import (
	"strings"
	"testing"

	"homeserver/internal/event"
)

func TestValuesAreCounted(t *testing.T) {
	t.Parallel()
	list := func(one string, n int) string { return "[" + strings.Repeat(one+",", n-1) + one + "]" }
	for what, c := range map[string]struct {
		json string
		many bool
	}{
		"as many as allowed":     {list("1", event.MaxValues-1), false},
		"one more":               {list("1", event.MaxValues), true},
		"objects":                {list("{}", event.MaxValues), true},
		"members":                {`{` + strings.Repeat(`"a":1,`, event.MaxValues) + `"a":1}`, true},
		"arrays in each other":   {strings.Repeat("[", event.MaxValues) + strings.Repeat("]", event.MaxValues), true},
		"brackets in a string":   {`"` + strings.Repeat(`[{,`, event.MaxValues) + `"`, false},
		"quotes in a string":     {`"` + strings.Repeat(`\",\\`, event.MaxValues) + `"`, false},
		"what is behind strings": {list(`"\\"`, event.MaxValues), true},
	} {
		if got := event.HasMoreValues([]byte(c.json), event.MaxValues); got != c.many {
			t.Errorf("%s: got %v", what, got)
		}
	}
}
