package server

import (
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"homeserver/internal/auth"
	"homeserver/internal/matrixtest"
	"homeserver/internal/server/config"
)

// withPolicyList starts a server that applies the rules in a room of its administrator, and
// returns the administrator and the ID of the room. change may be nil.
func withPolicyList(t *testing.T, log *slog.Logger, change func(*config.Config)) (cfg *config.Config, s *Server, admin *matrixtest.Client, list string) {
	t.Helper()
	cfg = testConfig(t)
	first, err := Start(t.Context(), cfg, slog.New(slog.DiscardHandler), Accounts(auth.NewAccount{Username: "root", Password: "wordpass", Admin: true}))
	if err != nil {
		t.Fatal(err)
	}
	list = clientAt(t, first, 0).Login("root", "wordpass").CreateRoom(map[string]any{"room_alias_name": "bans", "preset": "public_chat"})
	shutDown(t, first)
	cfg.PolicyLists.Rooms = []string{list}
	if change != nil {
		change(cfg)
	}
	if s, err = Start(t.Context(), cfg, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutDown(t, s) })
	return cfg, s, clientAt(t, s, 0).Login("root", "wordpass"), list
}

var quiet = slog.New(slog.DiscardHandler)

// ban makes a rule.
func ban(admin *matrixtest.Client, list, kind, entity string) (eventID string) {
	return admin.SetState(list, "m.policy.rule."+kind, "rule:"+entity, map[string]any{
		"entity": entity, "recommendation": "m.ban", "reason": "unpleasant",
	})
}

// enter does something in a room with a body.
func enter(c *matrixtest.Client, room, how string, body any) *matrixtest.Response {
	return c.Do("POST", matrixtest.Path("rooms", room, how), body)
}

// people registers users.
func people(t *testing.T, s *Server, names ...string) (list []*matrixtest.Client) {
	for _, name := range names {
		list = append(list, clientAt(t, s, 0).Register(name, "wordpass"))
	}
	return list
}

func TestPolicyListIsAppliedToWhateverBringsUsersIn(t *testing.T) {
	t.Parallel()
	_, s, admin, list := withPolicyList(t, quiet, nil)
	both := people(t, s, "alice", "mallory")
	alice, mallory := both[0], both[1]
	open := map[string]any{"preset": "public_chat"}
	room, knocked, stayed := alice.CreateRoom(open), alice.CreateRoom(nil), alice.CreateRoom(open)
	alice.SetState(knocked, "m.room.join_rules", "", map[string]any{"join_rule": "knock"})
	own := mallory.CreateRoom(open)
	mallory.Join(stayed)
	rule := ban(admin, list, "user", mallory.UserID)

	whom := map[string]any{"user_id": mallory.UserID}
	refused := map[string]func() *matrixtest.Response{
		"join": func() *matrixtest.Response { return enter(mallory, room, "join", nil) },
		"join as state": func() *matrixtest.Response {
			return mallory.Do("PUT", matrixtest.Path("rooms", room, "state", "m.room.member", mallory.UserID), `{"membership":"join"}`)
		},
		"knock":  func() *matrixtest.Response { return mallory.Do("POST", matrixtest.Path("knock", knocked), nil) },
		"invite": func() *matrixtest.Response { return enter(alice, room, "invite", whom) },
		"invite as state": func() *matrixtest.Response {
			return alice.Do("PUT", matrixtest.Path("rooms", room, "state", "m.room.member", mallory.UserID), `{"membership":"invite"}`)
		},
		"invite by": func() *matrixtest.Response {
			return enter(mallory, own, "invite", map[string]any{"user_id": alice.UserID})
		},
		"create": func() *matrixtest.Response { return mallory.Do("POST", "/createRoom", nil) },
		"create with": func() *matrixtest.Response {
			return alice.Do("POST", "/createRoom", map[string]any{"invite": []string{mallory.UserID}})
		},
		"upgrade": func() *matrixtest.Response {
			return enter(mallory, own, "upgrade", map[string]any{"new_version": "11"})
		},
	}
	for name, do := range refused {
		answer := do()
		t.Log(name)
		answer.Refused(403, "M_FORBIDDEN")
		if text := string(answer.Body); !strings.Contains(text, "policy of this server") || strings.Contains(text, list) || strings.Contains(text, "unpleasant") {
			t.Errorf("%s: %s", name, text)
		}
	}
	// Who is in a room stays there, and may say there who they are.
	mallory.SetState(stayed, "m.room.member", mallory.UserID, map[string]any{"membership": "join", "displayname": "M"})
	mallory.SendText(stayed, "still here")
	enter(mallory, stayed, "join", nil).OK()

	admin.Do("PUT", matrixtest.Path("rooms", list, "redact", rule, "t"), `{}`).OK()
	enter(mallory, room, "join", nil).OK()
}

func TestPolicyListIsAppliedToNames(t *testing.T) {
	t.Parallel()
	_, s, admin, list := withPolicyList(t, quiet, nil)
	both := people(t, s, "alice", "bob")
	alice, bob := both[0], both[1]
	room := alice.CreateRoom(map[string]any{"preset": "public_chat", "room_alias_name": "spam-market"})
	ban(admin, list, "user", "@spam*:localhost")
	ban(admin, list, "room", "#spam*:*")
	clientAt(t, s, 0).Do("GET", "/register/available?username=spammer", nil).Refused(403, "M_FORBIDDEN")
	clientAt(t, s, 0).Do("POST", "/register", `{"username":"spammer","password":"wordpass","auth":{"type":"m.login.dummy"}}`).Refused(403, "M_FORBIDDEN")
	people(t, s, "carol")
	enter(bob, room, "join", nil).Refused(403, "M_FORBIDDEN")
	bob.Do("POST", matrixtest.Path("join", "#spam-market:localhost"), nil).Refused(403, "M_FORBIDDEN")
	enter(alice, room, "invite", map[string]any{"user_id": bob.UserID}).Refused(403, "M_FORBIDDEN")
	alice.Do("PUT", matrixtest.Path("directory", "list", "room", room), `{"visibility":"public"}`).Refused(403, "M_FORBIDDEN")
	alice.Do("PUT", matrixtest.Path("directory", "list", "room", room), `{"visibility":"private"}`).OK()
	alice.Do("PUT", matrixtest.Path("directory", "room", "#other:localhost"), map[string]any{"room_id": room}).Refused(403, "M_FORBIDDEN")
	other := alice.CreateRoom(nil)
	alice.Do("PUT", matrixtest.Path("directory", "room", "#spamming:localhost"), map[string]any{"room_id": other}).Refused(403, "M_FORBIDDEN")
	alice.Do("POST", "/createRoom", `{"room_alias_name":"spamming"}`).Refused(403, "M_FORBIDDEN")
	alice.Do("DELETE", matrixtest.Path("directory", "room", "#spam-market:localhost"), nil).OK()
	enter(bob, room, "join", nil).OK()
	ban(admin, list, "room", other)
	enter(alice, other, "invite", map[string]any{"user_id": bob.UserID}).Refused(403, "M_FORBIDDEN")
}

func TestFormsOfRules(t *testing.T) {
	t.Parallel()
	_, s, admin, list := withPolicyList(t, quiet, nil)
	both := people(t, s, "alice", "mallory")
	alice, mallory := both[0], both[1]
	room := alice.CreateRoom(nil)
	sum := sha256.Sum256([]byte(mallory.UserID))
	for _, test := range []struct {
		typ     string
		content map[string]any
		want    bool
	}{
		{"m.policy.rule.user", map[string]any{"entity": mallory.UserID, "recommendation": "m.ban"}, true},
		{"m.policy.rule.user", map[string]any{"entity": "@m?ll*:localhost", "recommendation": "m.ban"}, true},
		{"m.policy.rule.user", map[string]any{"entity": "@MALLORY:localhost", "recommendation": "m.ban"}, false},
		{"m.room.rule.user", map[string]any{"entity": mallory.UserID, "recommendation": "m.ban"}, true},
		{"org.matrix.mjolnir.rule.user", map[string]any{"entity": mallory.UserID, "recommendation": "org.matrix.mjolnir.ban"}, true},
		{"m.policy.rule.user", map[string]any{"hashes": map[string]any{"sha256": base64.StdEncoding.EncodeToString(sum[:])}, "recommendation": "m.ban"}, true},
		{"m.policy.rule.user", map[string]any{"hashes": map[string]any{"sha256": base64.RawURLEncoding.EncodeToString(sum[:])}, "recommendation": "m.ban"}, true},
		{"m.policy.rule.user", map[string]any{"hashes": map[string]any{"sha256": "c2hvcnQ"}, "recommendation": "m.ban"}, false},
		{"m.policy.rule.user", map[string]any{"hashes": "none", "recommendation": "m.ban"}, false},
		{"m.policy.rule.user", map[string]any{"entity": mallory.UserID, "recommendation": "m.mute"}, false},
		{"m.policy.rule.user", map[string]any{"entity": mallory.UserID}, false},
		{"m.policy.rule.user", map[string]any{"entity": []string{mallory.UserID}, "recommendation": "m.ban"}, false},
		{"m.policy.rule.user", map[string]any{"entity": mallory.UserID, "recommendation": 1}, false},
		{"m.policy.rule.user", map[string]any{"entity": strings.Repeat("*", 300), "recommendation": "m.ban"}, false},
		{"m.policy.rule.room", map[string]any{"entity": mallory.UserID, "recommendation": "m.ban"}, false},
		{"org.example.rule.user", map[string]any{"entity": mallory.UserID, "recommendation": "m.ban"}, false},
		// Nobody is locked out of a server by a mistake.
		{"m.policy.rule.user", map[string]any{"entity": "*", "recommendation": "m.ban"}, false},
		{"m.policy.rule.user", map[string]any{"entity": "@?*:localhost", "recommendation": "m.ban"}, false},
		{"m.policy.rule.server", map[string]any{"entity": "LOCAL*", "recommendation": "m.ban"}, false},
		{"m.policy.rule.room", map[string]any{"entity": "!*", "recommendation": "m.ban"}, false},
	} {
		admin.SetState(list, test.typ, "rule", test.content)
		answer := enter(alice, room, "invite", map[string]any{"user_id": mallory.UserID})
		if test.want {
			answer.Refused(403, "M_FORBIDDEN")
		} else {
			answer.OK()
			enter(mallory, room, "leave", nil).OK()
		}
		if t.Failed() {
			t.Fatalf("%s %v", test.typ, test.content)
		}
		admin.SetState(list, test.typ, "rule", map[string]any{})
	}
	// Rules of those who may not set state are none, since they are not in the room's state.
	mallory.Join(list)
	mallory.Do("PUT", matrixtest.Path("rooms", list, "state", "m.policy.rule.user", "rule"), `{}`).Refused(403, "M_FORBIDDEN")
}

func TestPolicyListSparesAdministrators(t *testing.T) {
	t.Parallel()
	_, s, admin, list := withPolicyList(t, quiet, nil)
	both := people(t, s, "alice", "bob")
	alice, bob := both[0], both[1]
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	ban(admin, list, "user", admin.UserID)
	ban(admin, list, "room", room)
	enter(alice, room, "invite", map[string]any{"user_id": bob.UserID}).Refused(403, "M_FORBIDDEN")
	admin.Join(room)
	enter(alice, admin.CreateRoom(map[string]any{"preset": "public_chat"}), "join", nil).OK()
	enter(alice, alice.CreateRoom(nil), "invite", map[string]any{"user_id": admin.UserID}).OK()
}

func TestPolicyListIsTheSameAfterARestartAndInAllProcesses(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	cfg, s, admin, list := withPolicyList(t, quiet, func(cfg *config.Config) { cfg.PolicyLists.Rooms = []string{"#bans:localhost"} })
	both := people(t, s, "alice", "mallory")
	alice, mallory := both[0], both[1]
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	other := mustStart(t, cfg)
	there := clientAt(t, other, 0).Login("mallory", "wordpass")
	ban(admin, list, "user", mallory.UserID)
	enter(mallory, room, "join", nil).Refused(403, "M_FORBIDDEN")
	// The other process learns of the rule with the position of the journal, which alice's sync waits for.
	since := alice.Sync("").String("next_batch")
	clientAt(t, other, 0).Login("alice", "wordpass").Sync(since)
	enter(there, room, "join", nil).Refused(403, "M_FORBIDDEN")
	shutDown(t, s)
	third := mustStart(t, cfg)
	enter(clientAt(t, third, 0).Login("mallory", "wordpass"), room, "join", nil).Refused(403, "M_FORBIDDEN")
}

func TestDryRunOfPolicyLists(t *testing.T) {
	t.Parallel()
	var out syncBuffer
	cfg, s, admin, list := withPolicyList(t, slog.New(slog.NewTextHandler(&out, nil)), func(cfg *config.Config) {
		cfg.PolicyLists.DryRun = true
		cfg.Metrics.Listen = "localhost:0"
	})
	mallory := people(t, s, "mallory")[0]
	room := admin.CreateRoom(map[string]any{"preset": "public_chat"})
	ban(admin, list, "user", "@mal*:localhost")
	ban(admin, list, "user", "@*:localhost")
	mallory.Join(room)
	if got := out.String(); !strings.Contains(got, "would be refused") || !strings.Contains(got, "user=@mallory:localhost") || !strings.Contains(got, "act=join") ||
		!strings.Contains(got, list) || strings.Contains(got, "unpleasant") {
		t.Errorf("logged: %s", got)
	}
	_, page := get(t, config.Listener{Address: s.MetricsAddress()}.URL()+"/metrics")
	for _, line := range []string{
		`homeserver_policy_refusals_total{act="join",dry_run="true"} 1`, `homeserver_policy_rules{applied="true"} 1`, `homeserver_policy_rules{applied="false"} 1`,
	} {
		if !strings.Contains(page, line) {
			t.Errorf("no metric %s", line)
		}
	}
	effects, err := PolicyEffects(t.Context(), cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	got := effects.List()
	if len(got) != 2 || got[0].NotApplied == "" || got[1].Hits != 1 || got[1].Some[0] != mallory.UserID {
		t.Errorf("got %+v", got)
	}
}

func TestPolicyListOfUnknownRooms(t *testing.T) {
	t.Parallel()
	var out syncBuffer
	cfg := testConfig(t)
	cfg.PolicyLists.Rooms = []string{"#nowhere:localhost", "!nowhere:localhost", "#away:example.org"}
	s, err := Start(t.Context(), cfg, slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutDown(t, s) })
	alice := people(t, s, "alice")[0]
	alice.Do(http.MethodPost, "/createRoom", `{}`).OK()
	if got := out.String(); strings.Count(got, "a policy list is not applied") != 2 {
		t.Errorf("logged: %s", got)
	}
}
