package invitepermission_test

import (
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/matrix"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/invitepermission"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms/roomstest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol

// env is the harness with account data.
type env struct {
	*roomstest.Env
	*invitepermission.Service
	data *accountdata.Service
}

// newEnv starts a server process, as it were, on a database; nil: a new one.
func newEnv(t *testing.T, pool *pgxpool.Pool) *env {
	t.Helper()
	h := &env{Env: roomstest.Open(t, roomstest.Options{Pool: pool})}
	h.data = accountdata.New(h.Pool, h.Journal, h.Rooms.Timeline, 0)
	h.Service = invitepermission.New(h.data, h.Journal, 0)
	h.Run()
	return h
}

func (h *env) set(user, room, typ, content string) {
	h.T.Helper()
	h.OK(h.data.Set(h.T.Context(), user, room, typ, json.RawMessage(content)))
}

// refused returns which invites by alice the users refuse.
func (h *env) refused(users ...string) (list []string) {
	h.T.Helper()
	pairs := make([][2]string, len(users))
	for i, user := range users {
		pairs[i] = [2]string{alice, user}
	}
	refusals, err := h.MayInvite(h.T.Context(), pairs)
	h.OK(err)
	for i, refusal := range refusals {
		if matrix.IsCode(refusal, matrix.InviteBlocked) {
			list = append(list, users[i])
		}
	}
	return list
}

func TestInvitePermissionIsKnownAtOnce(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	want := func(when string, users ...string) {
		t.Helper()
		if got := h.refused(bob, carol, bob); len(got) != len(users) {
			t.Errorf("%s: %v refuse, want %v", when, got, users)
		}
	}
	want("at first")
	h.set(bob, "", "m.invite_permission_config", `{"default_action":"block"}`)
	want("when it is set", bob, bob)
	h.set(carol, "", "org.matrix.msc4380.invite_permission_config", `{"default_action":"block"}`)
	want("by its name as a proposal", bob, carol, bob)
	room := h.Public()
	h.set(carol, room, "m.invite_permission_config", `{"default_action":"block"}`)
	h.set(carol, "", "org.matrix.msc4380.invite_permission_config", `{}`)
	want("set in a room only", bob, bob)
	other := newEnv(t, h.Pool)
	other.set(bob, "", "m.invite_permission_config", `{}`)
	h.OK(h.Journal.CatchUp(t.Context(), other.Journal.Position()))
	want("when another process has taken it back")
}

func TestDamagedPermissionRefusesNobody(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	h.set(bob, "", "m.invite_permission_config", `{"default_action":"block"}`)
	_, err := h.Pool.Exec(t.Context(), `UPDATE account_data SET content = 'no JSON'`)
	h.OK(err)
	if got := h.refused(bob, carol); len(got) != 0 {
		t.Errorf("%v refuse", got)
	}
}
