package presence

import (
	"strings"
	"testing"
	"time"
)

func TestPresenceWhenTheClockJumps(t *testing.T) {
	h := newEnv(t)
	for _, jump := range []time.Duration{-time.Hour, time.Hour} {
		h.poll(alice, "PHONE", Online)()
		h.pass(jump)
		if got := h.show(alice, alice); strings.Contains(got, "-") {
			t.Errorf("after a jump by %v: %s", jump, got)
		}
		h.poll(alice, "PHONE", Online)()
		h.wantPresence(alice, Online)
		h.pass(goneAfter)
		h.wantPresence(alice, Offline)
	}
}
