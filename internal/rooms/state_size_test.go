package rooms_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
)

func TestStateOfARoomHadNoBoundInBytes(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	large := `{"a":"` + strings.Repeat("a", 30_000) + `"}`
	h.SetState(alice, room, "org.example", "large", large)
	_, err := h.Pool.Exec(t.Context(), `UPDATE rooms SET state_bytes = $1 WHERE room_id = $2`, 64<<20-10_000, room)
	h.OK(err)
	full := envOn(t, h.Pool)
	set := func(key, content string) error {
		_, err := full.Rooms.SetState(t.Context(), rooms.Request{UserID: alice, RoomID: room}, "org.example", key, []byte(content))
		return err
	}
	matrixtest.WantCode(t, set("more", large), matrix.TooLarge, "more state")
	matrixtest.WantCode(t, set("large", `{"a":"`+strings.Repeat("a", 50_000)+`"}`), matrix.TooLarge, "a larger entry")
	full.Join(bob, room)
	full.Send(bob, room, "members come and messages go on")
	full.Leave(bob, room)
	matrixtest.WantCode(t, set("large", `{}`), "", "a smaller entry")
	matrixtest.WantCode(t, set("more", large), "", "as much as has become free")
}

// sizes returns the stored sizes of the states of all rooms, and the true ones, in total.
func (h *env) sizes() (counted, sum int64) {
	h.T.Helper()
	h.OK(h.Pool.QueryRow(h.T.Context(), `SELECT sum(state_bytes) FROM rooms`).Scan(&counted))
	h.OK(h.Pool.QueryRow(h.T.Context(), `
		SELECT sum(octet_length(e.json) + 1024) FROM room_state s JOIN events e ON e.event_nid = s.event_nid
		WHERE s.replaced_at IS NULL AND NOT (e.type = 'm.room.member' AND octet_length(e.json) <= 8192)`).Scan(&sum))
	return counted, sum
}

func TestSizeOfStateIsCounted(t *testing.T) {
	h := newEnv(t)
	same := func(after string) {
		t.Helper()
		if counted, sum := h.sizes(); counted != sum {
			t.Errorf("after %s: %d bytes are counted of %d", after, counted, sum)
		}
	}
	h.long(rand.New(rand.NewPCG(1, 2)))
	same("a long history")
	room := h.Public(bob)
	text := strings.Repeat("a", 20_000)
	id := h.SetState(alice, room, "org.example", "", fmt.Sprintf(`{"a":%q}`, text))
	same("a large entry")
	h.Redact(alice, room, id, "")
	same("its redaction")
	old := h.SetState(alice, room, "org.example", "", fmt.Sprintf(`{"b":%q}`, text))
	h.SetState(alice, room, "org.example", "", `{}`)
	same("being replaced")
	h.Redact(alice, room, old, "")
	same("a redaction of what is replaced")
	member := func(content string) {
		t.Helper()
		_, err := h.Rooms.SetState(t.Context(), rooms.Request{UserID: bob, RoomID: room}, "m.room.member", bob, []byte(content))
		h.OK(err)
	}
	member(fmt.Sprintf(`{"membership":"join","a":%q}`, text))
	same("a large membership")
	member(`{"membership":"join"}`)
	same("a small one after it")
}
