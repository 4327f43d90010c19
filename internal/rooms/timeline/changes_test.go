package timeline_test

import (
	"testing"

	"homeserver/internal/rooms/timeline"
)

func TestHeldSince(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		changes timeline.Changes
		want    timeline.Place
	}{
		{timeline.Changes{{From: 3, Value: "join"}}, 3},
		{timeline.Changes{{From: 3, Value: "join"}, {From: 5, Value: "join"}, {From: 9, Value: "join"}}, 3},
		{timeline.Changes{{From: 3, Value: "join"}, {From: 5, Value: "leave"}, {From: 9, Value: "join"}}, 9},
		{timeline.Changes{{From: 2, Value: "invite"}, {From: 5, Value: "join"}, {From: 9, Value: "join"}}, 5},
	} {
		if got := test.changes.HeldSince(); got != test.want {
			t.Errorf("%v: %d, want %d", test.changes, got, test.want)
		}
	}
}
