package transactions

import (
	"strings"
	"testing"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/doctor"
	"homeserver/internal/matrixtest"
)

func TestDoctorFindsServicesBeyondTheJournal(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	p := newPeer(t)
	services := []*registration.Registration{register(t, "irc", p.url)}
	h := start(t, nil, services)
	room := h.Public(ghost)
	p.until(h.newest(alice, room))
	h.looked("irc")
	h.sending.Stop()
	conn, err := h.Pool.Acquire(t.Context())
	h.OK(err)
	defer conn.Release()
	examine := func(repair bool) (doctor.Summary, string) {
		t.Helper()
		var found strings.Builder
		summary, err := doctor.Run(t.Context(), conn.Conn(), h.sending.Checks(), repair, &found, nil)
		h.OK(err)
		return summary, found.String()
	}
	if summary, text := examine(false); summary.Wrong != 0 {
		t.Errorf("found %s", text)
	}
	_, err = conn.Exec(t.Context(), `UPDATE app_service_progress SET position = 1000000`)
	h.OK(err)
	if summary, text := examine(true); summary.Repaired != 1 || !strings.Contains(text, "the application service irc is at position 1000000") {
		t.Errorf("found %s", text)
	}
	again := start(t, h.Pool, services)
	id := again.Send(alice, room, "after the repair")
	p.until(id)
}
