package rooms_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

func TestStateOfARoomHadNoBoundInBytes(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	large := `{"a":"` + strings.Repeat("a", 30_000) + `"}`
	h.set(alice, room, "org.example", "large", large)
	_, err := h.pool.Exec(t.Context(), `UPDATE rooms SET state_bytes = $1 WHERE room_id = $2`, 64<<20-10_000, room)
	h.ok(err)
	full := houseOn(t, h.pool)
	set := func(key, content string) error {
		_, err := full.SetState(t.Context(), rooms.Request{UserID: alice, RoomID: room}, "org.example", key, []byte(content))
		return err
	}
	expect(t, "more state", set("more", large), matrix.TooLarge)
	expect(t, "a larger entry", set("large", `{"a":"`+strings.Repeat("a", 50_000)+`"}`), matrix.TooLarge)
	full.join(bob, room)
	full.send(bob, room, "members come and messages go on")
	full.leave(bob, room)
	expect(t, "a smaller entry", set("large", `{}`), "")
	expect(t, "as much as has become free", set("more", large), "")
}

// sizes gives the sizes of the states of rooms as they are counted, and as they are.
func (h *house) sizes() (counted, sum int64) {
	h.t.Helper()
	h.ok(h.pool.QueryRow(h.t.Context(), `SELECT sum(state_bytes) FROM rooms`).Scan(&counted))
	h.ok(h.pool.QueryRow(h.t.Context(), `
		SELECT sum(octet_length(e.json) + 1024) FROM room_state s JOIN events e ON e.position = s.position
		WHERE s.replaced_at IS NULL AND NOT (e.type = 'm.room.member' AND octet_length(e.json) <= 8192)`).Scan(&sum))
	return counted, sum
}

func TestSizeOfStateIsCounted(t *testing.T) {
	h := newHouse(t)
	same := func(after string) {
		t.Helper()
		if counted, sum := h.sizes(); counted != sum {
			t.Errorf("after %s: %d bytes are counted of %d", after, counted, sum)
		}
	}
	h.long(rand.New(rand.NewPCG(1, 2)))
	same("a long history")
	room := h.public(bob)
	text := strings.Repeat("a", 20_000)
	id := h.set(alice, room, "org.example", "", fmt.Sprintf(`{"a":%q}`, text))
	same("a large entry")
	h.redact(alice, room, id, "")
	same("its redaction")
	old := h.set(alice, room, "org.example", "", fmt.Sprintf(`{"b":%q}`, text))
	h.set(alice, room, "org.example", "", `{}`)
	same("being replaced")
	h.redact(alice, room, old, "")
	same("a redaction of what is replaced")
	member := func(content string) {
		t.Helper()
		_, err := h.SetState(t.Context(), rooms.Request{UserID: bob, RoomID: room}, "m.room.member", bob, []byte(content))
		h.ok(err)
	}
	member(fmt.Sprintf(`{"membership":"join","a":%q}`, text))
	same("a large membership")
	member(`{"membership":"join"}`)
	same("a small one after it")
}
