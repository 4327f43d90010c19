package api

import (
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestAByteOrderMarkInFrontOfJSONIsSkipped(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	room := alice.CreateRoom("\ufeff{}")
	path := matrixtest.Path("rooms", room, "send", "m.room.message", "1")
	alice.Do("PUT", path, "\ufeff{\"msgtype\":\"m.text\",\"body\":\"marked\"}").OK()
	rule := "/pushrules/global/override/.m.rule.master/enabled"
	alice.Do("PUT", rule, "\ufefftrue").OK()
	if got := alice.Do("GET", rule, nil).OK().At("enabled"); got != true {
		t.Errorf("enabled: %v", got)
	}
}

func TestIntegersOfAnyFormAreTreatedAlike(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	for _, version := range []string{"5", "11"} {
		room := alice.CreateRoom(map[string]any{"room_version": version})
		id := alice.SendEvent(room, "com.example.sizes", `{"w":400.0,"h":3e2,"weight":1e0}`)
		content := string(alice.Do("GET", matrixtest.Path("rooms", room, "event", id), nil).OK().Body)
		if !strings.Contains(content, `{"h":300,"w":400,"weight":1}`) {
			t.Errorf("version %s: %s", version, content)
		}
		levels := alice.Do("GET", matrixtest.Path("rooms", room, "state", "m.room.power_levels"), nil).OK()
		for i, level := range []string{"51.0", "5.2e1"} {
			body := strings.Replace(string(levels.Body), `"state_default":50`, `"state_default":`+level, 1)
			alice.Do("PUT", matrixtest.Path("rooms", room, "state", "m.room.power_levels"), body).OK()
			changed := alice.Do("GET", matrixtest.Path("rooms", room, "state", "m.room.power_levels"), nil).OK()
			if got := changed.At("state_default"); got != float64(51+i) {
				t.Errorf("version %s, %s: %v", version, level, got)
			}
		}
	}
	for _, limit := range []string{"1.0", "1e0"} { // numbers of a query are no JSON
		alice.Do("GET", "/publicRooms?limit="+limit, nil).Refused(400, "M_INVALID_PARAM")
	}
}
