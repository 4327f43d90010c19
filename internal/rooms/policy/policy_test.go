package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/policy"
	"homeserver/internal/rooms/roomstest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol

// env is a server that applies the lists with the aliases #one:localhost and #two:localhost.
type env struct {
	*roomstest.Env
	*policy.Service
	clock matrixtest.Clock
}

// newEnv starts a server process, as it were, on a database; nil: a new one.
func newEnv(t *testing.T, pool *pgxpool.Pool) *env {
	t.Helper()
	h := &env{Env: roomstest.Open(t, roomstest.Options{Pool: pool})}
	h.Service = policy.New(policy.Options{
		Pool: h.Pool, Journal: h.Journal, Directory: h.Rooms.Directory, ServerName: "localhost",
		Lists: []string{"#one:localhost", "#two:localhost"}, Now: h.clock.Now,
	})
	h.Rooms.ScreenBy(h.Screen)
	h.Run()
	h.OK(h.Service.Start(t.Context()))
	return h
}

// list makes a room for rules, which alice may set.
func (h *env) list(alias string) string {
	h.T.Helper()
	created, err := h.Rooms.Create(h.T.Context(), alice, rooms.CreateRequest{AliasName: alias})
	h.OK(err)
	return created.RoomID
}

func (h *env) rule(room, key, entity string) (eventID string) {
	h.T.Helper()
	content, err := json.Marshal(map[string]string{"entity": entity, "recommendation": "m.ban"})
	h.OK(err)
	id, err := h.Rooms.SetState(h.T.Context(), rooms.Request{UserID: alice, RoomID: room}, "m.policy.rule.user", key, content)
	h.OK(err)
	return id
}

// want checks which of bob and carol are kept out.
func (h *env) want(when string, kept ...string) {
	h.T.Helper()
	got := []string{}
	for _, user := range []string{bob, carol} {
		refusals, err := h.Screen(h.T.Context(), []rooms.Act{{Kind: rooms.ToJoin, UserID: user, RoomID: "!r:localhost"}})
		h.OK(err)
		if len(refusals) == 1 && matrix.IsCode(refusals[0], matrix.Forbidden) {
			got = append(got, user)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(kept) {
		h.T.Errorf("%s: %v are kept out, want %v", when, got, kept)
	}
}

func TestAliasesOfListsMayMove(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	h.want("without lists")
	one := h.list("one")
	h.rule(one, "a", bob)
	h.want("a list that was made just now")
	h.clock.Pass(time.Minute)
	h.want("a minute later", bob)
	h.OK(h.Rooms.DeleteAlias(t.Context(), alice, "#one:localhost", false))
	other := h.list("other")
	h.rule(other, "a", carol)
	h.OK(h.Rooms.CreateAlias(t.Context(), alice, "#one:localhost", other))
	h.want("when the alias has moved just now", bob)
	h.clock.Pass(time.Minute)
	h.want("a minute later", carol)
}

func TestRulesOfSeveralListsAndPlaces(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	one, two := h.list("one"), h.list("two")
	h.clock.Pass(time.Minute)
	h.rule(one, "a", bob)
	again := h.rule(one, "b", "@b*")
	h.rule(two, "a", bob)
	h.want("three rules", bob)
	h.rule(one, "a", carol)
	h.want("one replaced", bob, carol)
	_, err := h.Rooms.Redact(t.Context(), rooms.Request{UserID: alice, RoomID: one}, again, "")
	h.OK(err)
	h.want("one redacted", bob, carol)
	h.rule(two, "a", "@nobody:localhost")
	h.want("the last of them replaced", carol)
	// A message that looks like a rule is none.
	_, err = h.Rooms.Send(t.Context(), rooms.Request{UserID: alice, RoomID: one}, "m.policy.rule.user", json.RawMessage(`{"entity":"*","recommendation":"m.ban"}`))
	h.OK(err)
	h.want("a message", carol)
}

func TestOtherProcessesFollowTheRules(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	one := h.list("one")
	other := newEnv(t, h.Pool)
	h.clock.Pass(time.Minute)
	id := h.rule(one, "a", bob)
	h.OK(other.Journal.CatchUp(t.Context(), h.Journal.Position()))
	other.want("of the other process", bob)
	_, err := other.Rooms.Redact(t.Context(), rooms.Request{UserID: alice, RoomID: one}, id, "")
	h.OK(err)
	other.want("redacted here")
	h.OK(h.Journal.CatchUp(t.Context(), other.Journal.Position()))
	h.want("redacted there")
	newEnv(t, h.Pool).want("after a restart")
}

// While rules are loaded, others are made, replaced and redacted.
func TestRulesThatChangeWhileTheyAreLoaded(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	one := h.list("one")
	done := make(chan error)
	go func() {
		for range 30 {
			h.clock.Pass(time.Minute)
			if _, err := h.Screen(context.Background(), []rooms.Act{{Kind: rooms.ToJoin, UserID: bob}}); err != nil {
				done <- err
				return
			}
			policy.Reset(h.Service)
		}
		done <- nil
	}()
	last := ""
	for range 30 {
		h.rule(one, "a", carol)
		last = h.rule(one, "a", bob)
	}
	h.OK(<-done)
	h.want("at the end", bob)
	_, err := h.Rooms.Redact(t.Context(), rooms.Request{UserID: alice, RoomID: one}, last, "")
	h.OK(err)
	h.want("redacted")
}

// Rules are never forgotten for the moment in which they are loaded again.
func TestRulesCountWhileTheyAreLoadedAgain(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	h.rule(h.list("one"), "a", bob)
	h.clock.Pass(time.Minute)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			policy.Reset(h.Service)
		}
	}()
	for checking := true; checking; {
		select {
		case <-done:
			checking = false
		default:
		}
		h.want("meanwhile", bob)
	}
}

func TestNoDatabaseNoDecision(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	policy.Reset(h.Service)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Screen(ctx, []rooms.Act{{Kind: rooms.ToJoin, UserID: bob}}); err == nil {
		t.Error("a user is let in although the rules are not known")
	}
	h.want("later")
}
