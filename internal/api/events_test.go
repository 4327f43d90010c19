package api

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// eventsFrom asks for the events after a token, without waiting.
func eventsFrom(c *matrixtest.Client, from string) *matrixtest.Response {
	c.T.Helper()
	return c.Do("GET", "/events?timeout=0&from="+from, nil).OK()
}

func TestEventsGoOnFromInitialSync(t *testing.T) {
	t.Parallel()
	alice, bob := newV1(t)
	room := alice.CreateRoom(openRoom)
	bob.Join(room)
	end := bob.Do("GET", "/initialSync", nil).OK().String("end")
	var texts []string
	for i := range 4 {
		text := string(rune('a' + i))
		alice.SendText(room, text)
		chunk := eventsFrom(bob, end)
		if chunk.String("start") != end {
			t.Errorf("start is %q, not %q", chunk.String("start"), end)
		}
		wantV1(t, "chunk", v1Events(t, chunk, "chunk")[:1])
		texts = append(texts, matrixtest.Bodies(chunk.Events("chunk"))...)
		end = chunk.String("end")
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, texts); diff != "" {
		t.Error(diff)
	}
	bob.Do("GET", "/events?from=nonsense", nil).Refused(400, "M_INVALID_PARAM")
	bob.Do("GET", "/events?timeout=soon", nil).Refused(400, "M_INVALID_PARAM")
}

func TestEventsWithoutATokenBeginNow(t *testing.T) {
	t.Parallel()
	alice, bob := newV1(t)
	room := alice.CreateRoom(openRoom)
	bob.Join(room)
	alice.SendText(room, "before")
	for _, query := range []string{"?timeout=0", "?timeout=0&from=END"} {
		chunk := bob.Do("GET", "/events"+query, nil).OK()
		if len(chunk.Events("chunk")) != 0 || chunk.String("start") != chunk.String("end") {
			t.Errorf("%s: %s", query, chunk.Body)
		}
	}
	all := bob.Do("GET", "/events?timeout=0&from=START", nil).OK().Events("chunk")
	if !slices.Contains(matrixtest.Bodies(all), "before") {
		t.Errorf("from the start: %v", all)
	}
}

func TestEventsWaitForTheNext(t *testing.T) {
	t.Parallel()
	alice, bob := newV1(t)
	room := alice.CreateRoom(openRoom)
	bob.Join(room)
	end := bob.Do("GET", "/initialSync", nil).OK().String("end")
	for _, prefix := range []string{prefixV1, "/_matrix/client/r0", "/_matrix/client/v3"} {
		waiting, answer := *bob, make(chan *matrixtest.Response)
		waiting.Prefix = prefix
		begun := time.Now()
		go func() { answer <- withToken(&waiting, "/events?timeout=60000&from="+end+"&") }()
		alice.SendText(room, prefix)
		chunk := <-answer
		if diff := cmp.Diff([]string{prefix}, matrixtest.Bodies(chunk.Events("chunk"))); diff != "" {
			t.Errorf("%s: %s", prefix, diff)
		}
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("%s: nothing has woken it in %v", prefix, took)
		}
		if isOld := chunk.String("chunk", 0, "user_id") != ""; isOld != (prefix == prefixV1) {
			t.Errorf("%s: the format of the event is another's: %s", prefix, chunk.Body)
		}
		end = chunk.String("end")
	}
}

func TestEventsTellOfPresenceTypingAndReceipts(t *testing.T) {
	t.Parallel()
	alice, bob := newV1(t)
	room := alice.CreateRoom(openRoom)
	bob.Join(room)
	said := alice.SendText(room, "hello")
	end := bob.Do("GET", "/initialSync", nil).OK().String("end")
	alice.Do("PUT", matrixtest.Path("presence", alice.UserID, "status"), `{"presence":"online","status_msg":"cooking"}`).OK()
	alice.Do("PUT", matrixtest.Path("rooms", room, "typing", alice.UserID), `{"typing":true,"timeout":60000}`).OK()
	r0 := *alice
	r0.Prefix = "/_matrix/client/r0"
	r0.Do("POST", matrixtest.Path("rooms", room, "receipt", "m.read", said), `{}`).OK()

	chunk := eventsFrom(bob, end)
	found := map[string]v1Event{}
	for _, e := range v1Events(t, chunk, "chunk") {
		found[e["type"].(string)] = e
	}
	for typ, want := range map[string]v1Event{
		"m.typing": {"content": map[string]any{"user_ids": []any{alice.UserID}}, "room_id": room, "type": "m.typing"},
	} {
		if diff := cmp.Diff(want, found[typ]); diff != "" {
			t.Errorf("%s: %s", typ, diff)
		}
	}
	if found["m.receipt"]["room_id"] != room {
		t.Errorf("the receipt: %s", chunk.Body)
	}
	content, _ := found["m.presence"]["content"].(map[string]any)
	if content["user_id"] != alice.UserID || content["status_msg"] != "cooking" || content["presence"] != "online" {
		t.Errorf("the presence: %s", chunk.Body)
	}
	if again := eventsFrom(bob, chunk.String("end")); len(again.Events("chunk")) != 0 {
		t.Errorf("told again: %s", again.Body)
	}
}

func TestTokensOfEventsAndSyncAreTheSame(t *testing.T) {
	t.Parallel()
	alice, bob := newV1(t)
	room := alice.CreateRoom(openRoom)
	bob.Join(room)
	now := *bob
	now.Prefix = "/_matrix/client/v3"
	token := now.Sync("").NextBatch()
	alice.SendText(room, "one")
	chunk := eventsFrom(bob, token)
	alice.SendText(room, "two")
	answer := now.Sync(chunk.String("end"))
	got := slices.Concat(matrixtest.Bodies(chunk.Events("chunk")), matrixtest.Bodies(answer.Timeline(room)))
	if diff := cmp.Diff([]string{"one", "two"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestOneEventIsOnlyForThoseWhoMaySeeIt(t *testing.T) {
	t.Parallel()
	alice, bob := newV1(t)
	room := alice.CreateRoom(nil)
	said := alice.SendText(room, "secret")
	for _, prefix := range []string{prefixV1, "/_matrix/client/r0", "/_matrix/client/v3"} {
		alice.Prefix, bob.Prefix = prefix, prefix
		e := alice.Do("GET", "/events/"+said, nil).OK()
		if e.String("content", "body") != "secret" || e.String("room_id") != room {
			t.Errorf("%s: %s", prefix, e.Body)
		}
		bob.Do("GET", "/events/"+said, nil).Refused(404, "M_NOT_FOUND")
		alice.Do("GET", "/events/$none", nil).Refused(404, "M_NOT_FOUND")
	}
}

func TestPeekingIsForAllAndForWorldReadableRooms(t *testing.T) {
	t.Parallel()
	alice, bob := newV1(t)
	open, closed := alice.CreateRoom(openRoom), alice.CreateRoom(openRoom)
	alice.SetState(open, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	for _, prefix := range []string{prefixV1, "/_matrix/client/r0"} {
		bob.Prefix = prefix
		from := bob.Do("GET", "/events?timeout=0&room_id="+open, nil).OK().String("end")
		alice.SendText(open, "look")
		chunk := bob.Do("GET", "/events?timeout=0&room_id="+open+"&from="+from, nil).OK()
		if diff := cmp.Diff([]string{"look"}, matrixtest.Bodies(chunk.Events("chunk"))); diff != "" {
			t.Errorf("%s: %s", prefix, diff)
		}
		bob.Do("GET", "/events?timeout=0&room_id="+closed, nil).Refused(403, "M_FORBIDDEN")
	}
}
