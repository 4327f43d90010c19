package api

import (
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// erased is a room in which eve has said something before she was erased, and people
// who have come to it at different times.
type erased struct {
	*matrixtest.Client // without an account
	room, message      string
	// early was there before the message, middle joined after it, late after eve was
	// erased, and outside never.
	early, middle, late, outside *matrixtest.Client
}

func newErased(t *testing.T, visibility string) *erased {
	t.Helper()
	e := &erased{Client: newServer(t)}
	for name, at := range map[string]**matrixtest.Client{"early": &e.early, "middle": &e.middle, "late": &e.late, "outside": &e.outside} {
		*at = e.Register(name, "wordpass")
	}
	eve := e.Register("eve", "wordpass")
	eve.Do("PUT", matrixtest.Path("profile", eve.UserID, "displayname"), `{"displayname":"Pomegranate"}`).OK()
	e.room = e.early.CreateRoom(map[string]any{
		"preset":                       "public_chat",
		"initial_state":                []any{map[string]any{"type": "m.room.history_visibility", "content": map[string]any{"history_visibility": visibility}}},
		"power_level_content_override": map[string]any{"state_default": 0},
	})
	eve.Join(e.room)
	e.message = eve.SendText(e.room, "pomegranate seeds")
	eve.SetState(e.room, "m.room.topic", "", map[string]any{"topic": "Fruit"})
	e.middle.Join(e.room)
	eve.Do("POST", "/account/deactivate", map[string]any{"erase": true, "auth": passwordOf(eve.UserID, "wordpass")}).OK()
	e.late.Join(e.room)
	return e
}

func TestErasedMessagesAreNotShownToThoseWhoComeLater(t *testing.T) {
	t.Parallel()
	for _, visibility := range []string{"shared", "world_readable"} {
		e := newErased(t, visibility)
		readers := map[string]*matrixtest.Client{"early": e.early, "middle": e.middle, "late": e.late}
		if visibility == "world_readable" {
			readers["outside"] = e.outside
		}
		for name, c := range readers {
			knows := name == "early" || name == "middle"
			for what, answer := range map[string]*matrixtest.Response{
				"messages":    c.Do("GET", matrixtest.Path("rooms", e.room, "messages")+"?dir=b&limit=100", nil).OK(),
				"context":     c.Do("GET", matrixtest.Path("rooms", e.room, "context", e.message), nil).OK(),
				"event":       c.Do("GET", matrixtest.Path("rooms", e.room, "event", e.message), nil).OK(),
				"initialSync": c.Do("GET", matrixtest.Path("rooms", e.room, "initialSync")+"?limit=100", nil).OK(),
				"sync":        c.Sync("", "filter", `{"room":{"timeline":{"limit":100}}}`),
			} {
				if what == "sync" && name == "outside" {
					continue
				}
				if shows := strings.Contains(strings.ToLower(string(answer.Body)), "pomegranate"); shows != knows {
					t.Errorf("%s, %s: %s shows what was erased: %v\n%s", visibility, name, what, shows, answer.Body)
				}
				if !strings.Contains(string(answer.Body), e.message) {
					t.Errorf("%s, %s: %s has no copy of the message at all", visibility, name, what)
				}
			}
			if topic := c.Do("GET", matrixtest.Path("rooms", e.room, "state", "m.room.topic"), nil).OK().String("topic"); topic != "Fruit" {
				t.Errorf("%s, %s: the room has lost its topic", visibility, name)
			}
		}
	}
}

func TestErasedMessagesAreNotFoundByThoseWhoComeLater(t *testing.T) {
	t.Parallel()
	e := newErased(t, "shared")
	for c, want := range map[*matrixtest.Client]float64{e.early: 1, e.middle: 1, e.late: 0, e.outside: 0} {
		answer := searchFor(c, "", map[string]any{"search_term": "pomegranate", "event_context": map[string]any{"include_profile": true}}).OK()
		if got := answer.At("search_categories", "room_events", "count"); got != want {
			t.Errorf("%s finds %v, want %v", c.UserID, got, want)
		}
	}
	if got := searchFor(e.late, "", map[string]any{"search_term": "fruit"}).OK().At("search_categories", "room_events", "count"); got != 1.0 {
		t.Errorf("the topic is found %v times", got)
	}
}

func TestEraseLeavesNothingThatIsNoEvent(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	server := matrixtest.New(t, newAPI(t, servicesOn(t, pool)).Handler())
	for _, name := range []string{"kept", "gone"} {
		c := server.Register(name, "wordpass")
		room := c.CreateRoom(openRoom)
		c.Do("PUT", matrixtest.Path("user", c.UserID, "account_data", "org.example"), `{"secret":1}`).OK()
		c.Do("PUT", matrixtest.Path("user", c.UserID, "rooms", room, "tags", "m.favourite"), `{}`).OK()
		c.Do("POST", matrixtest.Path("user", c.UserID, "filter"), `{"room":{"timeline":{"limit":7}}}`).OK()
		c.Do("POST", matrixtest.Path("rooms", room, "receipt", "m.read", c.SendText(room, "read")), `{}`).OK()
		c.Do("PUT", "/pushrules/global/content/x", `{"pattern":"x","actions":["notify"]}`).OK()
		c.Do("POST", "/pushers/set", `{"app_id":"a","pushkey":"k","kind":"http","app_display_name":"A","device_display_name":"D","lang":"en","data":{"url":"https://push.example.org/_matrix/push/v1/notify"}}`).OK()
		c.Do("POST", "/account/deactivate", map[string]any{"erase": name == "gone", "auth": passwordOf(c.UserID, "wordpass")}).OK()
	}
	for _, table := range []string{"account_data", "receipts", "push_rules", "pushers", "filters", "profiles", "user_threepids", "presence_lists"} {
		var n int
		if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM `+table+` WHERE user_id = '@gone:localhost'`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d rows are left, %v", table, n, err)
		}
	}
	var n int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM account_data WHERE user_id = '@kept:localhost'`).Scan(&n); err != nil || n == 0 {
		t.Errorf("without erase: %d rows, %v", n, err)
	}
}
