package syncstream

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/accountdata"
	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
)

// viewersHouse is what the cache of viewers needs, with a room that somebody made.
func viewersHouse(t *testing.T) (*viewers, *rooms.Service, string) {
	t.Helper()
	t.Parallel()
	pool := postgrestest.New(t)
	return viewersOn(t, pool)
}

func viewersOn(t *testing.T, pool *pgxpool.Pool) (*viewers, *rooms.Service, string) {
	t.Helper()
	j := journal.New(pool, journal.Options{})
	users := auth.New(pool, auth.Options{ServerName: "localhost"})
	signer := &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	r, err := rooms.New(rooms.Options{Pool: pool, Journal: j, Profiles: profile.New(pool, users), Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	vs, err := newViewers(r, accountdata.New(pool, j, r), j, 1)
	if err != nil {
		t.Fatal(err)
	}
	j.Observe(journal.Observer{Committed: vs.committed, Reset: vs.reset})
	if err := j.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	created, err := r.Create(t.Context(), "@alice:localhost", rooms.CreateRequest{Preset: "public_chat"})
	if err != nil {
		t.Fatal(err)
	}
	return vs, r, created.RoomID
}

func (vs *viewers) mustUse(t *testing.T, user string) *viewer {
	t.Helper()
	v, err := vs.use(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// count gives how many viewers are known, how many of them idle, and how many
// rooms they are noted with.
func (vs *viewers) count() (known, idle, inRooms int) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	for _, of := range vs.byRoom {
		inRooms += len(of)
	}
	return len(vs.byUser), vs.idle.Len(), inRooms
}

func TestIdleViewersAreBounded(t *testing.T) {
	vs, _, _ := viewersHouse(t)
	busy := vs.mustUse(t, "@alice:localhost")
	for i := range maxIdleViewers + 50 {
		v, _ := vs.take(fmt.Sprintf("@user%d:localhost", i))
		close(v.loaded)
		vs.release(v)
	}
	if known, idle, inRooms := vs.count(); known != maxIdleViewers+1 || idle != maxIdleViewers || inRooms != 1 {
		t.Errorf("%d viewers are known, %d idle, %d in rooms", known, idle, inRooms)
	}
	if busy.gone.Load() {
		t.Error("a viewer in use went, though it was the oldest")
	}
	select {
	case <-busy.listener.Woken():
		t.Error("who waits was woken because others had asked")
	default:
	}
	vs.release(busy)
}

func TestIdleViewersOfManyRoomsAreBounded(t *testing.T) {
	vs, _, _ := viewersHouse(t)
	const each = maxIdleStandings / 10
	for i := range 30 {
		v, _ := vs.take(fmt.Sprintf("@user%d:localhost", i))
		for nid := range each {
			v.rooms = append(v.rooms, &standing{Standing: &rooms.Standing{Room: journal.RoomNID(nid)}})
		}
		close(v.loaded)
		vs.release(v)
	}
	if known, _, _ := vs.count(); known != 10 {
		t.Errorf("%d viewers of %d rooms each are kept", known, each)
	}
	again, fresh := vs.take("@user29:localhost")
	if fresh || vs.idleStandings != 9*each {
		t.Errorf("the newest is fresh: %v; the others have %d rooms", fresh, vs.idleStandings)
	}
	vs.release(again)
}

func TestViewerGoesWithEachChangeOfStanding(t *testing.T) {
	vs, r, room := viewersHouse(t)
	const bob = "@bob:localhost"
	state := func(user, evType, key, content string) func() error {
		return func() error {
			_, err := r.SetState(t.Context(), rooms.Request{UserID: user, RoomID: room}, evType, key, json.RawMessage(content))
			return err
		}
	}
	for _, step := range []struct {
		what string
		do   func() error
		goes bool
	}{
		{"join", func() error { return r.Join(t.Context(), bob, room, "") }, true},
		{"profile", state(bob, "m.room.member", bob, `{"membership":"join","displayname":"Bob"}`), false},
		{"topic", state("@alice:localhost", "m.room.topic", "", `{"topic":"x"}`), false},
		{"visibility", state("@alice:localhost", "m.room.history_visibility", "", `{"history_visibility":"joined"}`), true},
		{"no visibility", state("@alice:localhost", "m.room.history_visibility", "x", `{"history_visibility":"shared"}`), false},
		{"another's membership", func() error { return r.Join(t.Context(), "@carol:localhost", room, "") }, false},
		{"leave", func() error { return r.Leave(t.Context(), bob, room, "") }, true},
		{"forget", func() error { return r.Forget(t.Context(), bob, room) }, true},
	} {
		v := vs.mustUse(t, bob)
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if v.gone.Load() != step.goes {
			t.Errorf("%s: the viewer is gone: %v", step.what, !step.goes)
		}
		vs.release(v)
	}
	vs.reset(0)
	if known, idle, inRooms := vs.count(); known+idle+inRooms != 0 {
		t.Errorf("after a reset %d viewers are known, %d idle, %d in rooms", known, idle, inRooms)
	}
}

// A change of visibility while a viewer was being loaded was once not noticed.
func TestVisibilityThatChangesDuringLoadingIsNoticed(t *testing.T) {
	t.Parallel()
	config, err := pgxpool.ParseConfig(postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	gate := &loadGate{read: make(chan struct{}), proceed: make(chan struct{})}
	config.ConnConfig.Tracer = gate
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	vs, r, room := viewersOn(t, pool)
	v, _ := vs.take("@alice:localhost")
	done := make(chan struct{})
	go func() { defer close(done); vs.load(t.Context(), v) }()
	<-gate.read
	_, err = r.SetState(t.Context(), rooms.Request{UserID: "@alice:localhost", RoomID: room}, "m.room.history_visibility", "",
		json.RawMessage(`{"history_visibility":"joined"}`))
	if err != nil {
		t.Error(err)
	}
	close(gate.proceed)
	<-done
	if !v.gone.Load() {
		t.Error("the viewer has an old visibility for good")
	}
	vs.release(v)
}

// loadGate holds up the first loading of a viewer once all has been read.
type loadGate struct {
	once          sync.Once
	read, proceed chan struct{}
}

type lastQuery struct{}

func (g *loadGate) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, lastQuery{}, strings.Contains(data.SQL, "FROM forgotten_rooms f\n\t\tJOIN"))
}

func (g *loadGate) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if last, _ := ctx.Value(lastQuery{}).(bool); last {
		g.once.Do(func() {
			close(g.read)
			<-g.proceed
		})
	}
}

func TestViewerThatCannotBeLoadedIsNotKept(t *testing.T) {
	vs, _, _ := viewersHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := vs.use(ctx, "@bob:localhost"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if known, idle, _ := vs.count(); known+idle != 0 {
		t.Errorf("%d viewers are known, %d idle", known, idle)
	}
	vs.release(vs.mustUse(t, "@bob:localhost"))
}
