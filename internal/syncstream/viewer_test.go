package syncstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/journal"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

// viewerBytes is what viewers may take in these tests.
const viewerBytes = 4 << 20

// viewersEnv is what the cache of viewers needs, with a room that somebody made.
func viewersEnv(t *testing.T) (*viewers, *rooms.Service, string) {
	t.Helper()
	t.Parallel()
	return viewersOn(t, nil)
}

// viewersOn is the same on a database; nil: a new one.
func viewersOn(t *testing.T, pool *pgxpool.Pool) (*viewers, *rooms.Service, string) {
	t.Helper()
	h := roomstest.Open(t, roomstest.Options{Pool: pool})
	vs := newViewers(h.Rooms.Timeline, accountdata.New(h.Pool, h.Journal, h.Rooms.Timeline, 0), h.Journal, viewerBytes)
	h.Journal.Observe(journal.Observer{Committed: vs.committed, Reset: vs.reset})
	h.Run()
	return vs, h.Rooms, h.Public()
}

func (vs *viewers) mustUse(t *testing.T, user string) *viewer {
	t.Helper()
	v, err := vs.use(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// count returns how many viewers are known, how many of them are idle, and how many rooms
// are noted for them in all.
func (vs *viewers) count() (known, idle, inRooms int) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	for _, of := range vs.byRoom {
		inRooms += len(of)
	}
	return len(vs.byUser), vs.idle.Stats().Entries, inRooms
}

// fill loads and releases the viewers of so many users, each with a standing in so many rooms.
func (vs *viewers) fill(first, users, roomsEach int) {
	for i := range users {
		v, _ := vs.take(fmt.Sprintf("@user%d:localhost", first+i))
		vs.mu.Lock()
		for nid := range roomsEach {
			v.rooms = append(v.rooms, &standing{Standing: &timeline.Standing{Room: journal.RoomNID(nid + 1000)}})
		}
		v.bytes = v.weigh()
		vs.bytes += v.bytes
		vs.mu.Unlock()
		close(v.loaded)
		vs.release(v)
	}
}

func TestIdleViewersAreBounded(t *testing.T) {
	for name, each := range map[string]int{"few rooms": 1, "many rooms": 1000} {
		t.Run(name, func(t *testing.T) {
			vs, _, _ := viewersEnv(t)
			busy := vs.mustUse(t, "@alice:localhost")
			most := viewerBytes / (450 * each)
			vs.fill(0, most+10, each)
			if known, idle, _ := vs.count(); known != idle+1 || idle < most/5 || vs.bytes > viewerBytes+busy.bytes {
				t.Errorf("%d viewers are known, %d idle, of %d bytes", known, idle, vs.bytes)
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
			last := fmt.Sprintf("@user%d:localhost", most+9)
			if again, fresh := vs.take(last); fresh || again.gone.Load() {
				t.Error("the newest is gone")
			}
		})
	}
}

// isWoken reports whether requests that wait on a viewer are woken.
func isWoken(v *viewer) bool {
	select {
	case <-v.listener.Woken():
		return true
	default:
		return false
	}
}

// A request of a large account once kept all of the account in memory for as long as it waited.
func TestLargeViewersOfWaitingRequestsMakeRoom(t *testing.T) {
	vs, r, room := viewersEnv(t)
	small := vs.mustUse(t, "@alice:localhost")
	vs.rest(small)
	vs.fill(0, 1, 1000)
	large, _ := vs.take("@user0:localhost")
	vs.rest(large)
	vs.fill(1, 10, 3000)
	if small.emptied || len(small.rooms) != 1 {
		t.Error("a small viewer went while somebody waited on it")
	}
	if !large.emptied || isWoken(large) || large.gone.Load() {
		t.Fatalf("emptied: %v, woken: %v, gone: %v", large.emptied, isWoken(large), large.gone.Load())
	}
	if err := r.Invite(t.Context(), "@alice:localhost", room, "@user0:localhost", ""); err != nil {
		t.Fatal(err)
	}
	if !isWoken(large) {
		t.Error("who waits did not hear of an invitation")
	}
	vs.rise(large)
	vs.release(large)
	again := vs.mustUse(t, "@user0:localhost")
	if again == large || len(again.rooms) != 1 {
		t.Errorf("after it the user stands to %d rooms", len(again.rooms))
	}
	vs.release(again)
	vs.rise(small)
	vs.release(small)
	vs.reset(0)
	if known, idle, inRooms := vs.count(); known+idle+inRooms+vs.bytes != 0 {
		t.Errorf("%d viewers are known, %d idle, %d in rooms, of %d bytes", known, idle, inRooms, vs.bytes)
	}
}

// Another request of somebody whose viewer went while one waits finds all rooms again.
func TestEmptiedViewerIsNotUsed(t *testing.T) {
	vs, _, _ := viewersEnv(t)
	v := vs.mustUse(t, "@alice:localhost")
	vs.rest(v)
	vs.mu.Lock()
	vs.empty(v)
	vs.mu.Unlock()
	again := vs.mustUse(t, "@alice:localhost")
	if again == v || len(again.rooms) != 1 || !isWoken(v) {
		t.Errorf("there are %d rooms; the one who waits is woken: %v", len(again.rooms), isWoken(v))
	}
	vs.release(again)
	vs.rise(v)
	vs.release(v)
	if known, idle, _ := vs.count(); known != 1 || idle != 1 {
		t.Errorf("%d viewers are known, %d idle", known, idle)
	}
}

func TestViewerGoesWithEachChangeOfStanding(t *testing.T) {
	vs, r, room := viewersEnv(t)
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
	return context.WithValue(ctx, lastQuery{}, strings.Contains(data.SQL, "FROM forgotten_rooms f\n\t\tCROSS JOIN"))
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
	vs, _, _ := viewersEnv(t)
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
