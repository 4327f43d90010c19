package rooms_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms/roomstest"
)

// annotates returns the content of a reaction.
func annotates(target, key string) string {
	return fmt.Sprintf(`{"m.relates_to":{"event_id":%q,"key":%q,"rel_type":"m.annotation"}}`, target, key)
}

// try sends an event, and returns what that is refused with.
func (h *env) try(user, room, evType, content string) error {
	_, err := h.Rooms.Send(h.T.Context(), roomstest.As(user, room), evType, []byte(content))
	return err
}

func TestAnnotationIsMadeOnce(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(bob), h.Public(bob)
	root, second := h.Send(alice, room, "root"), h.Send(alice, room, "second")
	id := h.SendEvent(bob, room, "m.reaction", annotates(root, "a"))
	for what, again := range map[string]string{
		"the same":     annotates(root, "a"),
		"with more":    fmt.Sprintf(`{"more":1,"m.relates_to":{"event_id":%q,"key":"a","rel_type":"m.annotation","x":"y"}}`, root),
		"with escapes": fmt.Sprintf(`{"m.relates\u005fto" : {"event_id":%q, "key":"\u0061", "rel_type":"m.annotati\u006fn"} }`, root),
	} {
		matrixtest.WantStatus(t, h.try(bob, room, "m.reaction", again), matrix.DuplicateAnnotation, 400, what)
	}
	for what, err := range map[string]error{
		"of another user":     h.try(alice, room, "m.reaction", annotates(root, "a")),
		"another key":         h.try(bob, room, "m.reaction", annotates(root, "b")),
		"of another event":    h.try(bob, room, "m.reaction", annotates(second, "a")),
		"of another type":     h.try(bob, room, "org.example.check", annotates(root, "a")),
		"in another room":     h.try(bob, other, "m.reaction", annotates(root, "a")),
		"without a key":       h.try(bob, room, "m.reaction", relates("m.annotation", root)),
		"again without a key": h.try(bob, room, "m.reaction", relates("m.annotation", root)),
		"another relation":    h.try(bob, room, "m.reaction", relates("m.reference", root)),
	} {
		matrixtest.WantCode(t, err, "", what)
	}
	matrixtest.WantCode(t, h.try(carol, room, "m.reaction", annotates(root, "a")), matrix.Forbidden, "of a stranger")
	h.Redact(bob, room, id, "")
	matrixtest.WantCode(t, h.try(bob, room, "m.reaction", annotates(root, "a")), "", "after a redaction")
	matrixtest.WantCode(t, h.try(bob, room, "m.reaction", annotates(root, "a")), matrix.DuplicateAnnotation, "twice after a redaction")
	for range 2 { // of which the second is another state event
		h.SetState(alice, room, "org.example.check", fmt.Sprint(len(h.History(alice, room))), annotates(root, "a"))
	}
}

func relates(relType, target string) string {
	return fmt.Sprintf(`{"body":"x","msgtype":"m.text","m.relates_to":{"event_id":%q,"rel_type":%q}}`, target, relType)
}

func TestAnnotationIsMadeOnceAcrossProcesses(t *testing.T) {
	a := newEnv(t)
	b := envOn(t, a.Pool)
	room := a.Public()
	root := a.Send(alice, room, "root")
	for round := range 10 {
		var wg sync.WaitGroup
		var made atomic.Int64
		for i := range 8 {
			wg.Go(func() {
				err := []*env{a, b}[i%2].try(alice, room, "m.reaction", annotates(root, fmt.Sprint(round)))
				if err == nil {
					made.Add(1)
				} else {
					matrixtest.WantCode(t, err, matrix.DuplicateAnnotation)
				}
			})
			wg.Go(func() { // beside others, which go through
				matrixtest.WantCode(t, []*env{a, b}[i%2].try(alice, room, "m.reaction", annotates(root, fmt.Sprint(round, " ", i))), "")
			})
		}
		wg.Wait()
		if n := made.Load(); n != 1 {
			t.Errorf("round %d: made %d times", round, n)
		}
	}
	checkChain(t, envOn(t, a.Pool), room)
}

func TestRepeatedRequestForAnAnnotationIsAnsweredAsBefore(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	root := h.Send(alice, room, "root")
	send := func(h *env, txn string) (string, error) {
		return h.Rooms.Send(t.Context(), by(room, txn), "m.reaction", []byte(annotates(root, "a")))
	}
	first, err := send(h, "1")
	h.OK(err)
	for name, again := range map[string]*env{"in memory": h, "after a restart": envOn(t, h.Pool)} {
		id, err := send(again, "1")
		matrixtest.WantCode(t, err, "", name)
		if id != first {
			t.Errorf("%s: got %s, want %s", name, id, first)
		}
		_, err = send(again, "2")
		matrixtest.WantCode(t, err, matrix.DuplicateAnnotation, name)
	}
}
