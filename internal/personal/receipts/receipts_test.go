package receipts_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

func (h *env) want(who, room string, want ...string) {
	h.T.Helper()
	got := h.seen(who, room)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		h.T.Errorf("%s sees %q, want %q", who, got, want)
	}
}

func TestReceiptsOnlyMoveForward(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	first, second, third := h.say(alice, room, "", ""), h.say(alice, room, "", ""), h.say(alice, room, "", "")
	h.read(bob, room, "m.read", second)
	before := h.Journal.Position()
	h.read(bob, room, "m.read", first)
	h.read(bob, room, "m.read", second)
	if h.Journal.Position() != before {
		t.Error("a receipt that changes nothing is told to clients")
	}
	h.want(alice, room, bob+" m.read  "+second)
	h.read(bob, room, "m.read.private", first) // of another kind
	h.read(bob, room, "m.read", third)
	h.want(bob, room, bob+" m.read  "+third, bob+" m.read.private  "+first)
	if got, want := h.marks(bob, room), (timeline.ReadMarks{Unthreaded: h.place(bob, room, third)}); !reflect.DeepEqual(got, want) {
		t.Errorf("marks are %v, want %v", got, want)
	}
}

func TestPrivateReceiptsAreTheOwn(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	id := h.say(alice, room, "", "")
	h.read(bob, room, "m.read.private", id)
	h.read(alice, room, "m.read.private", id)
	h.want(bob, room, bob+" m.read.private  "+id)
	h.want(alice, room, alice+" m.read.private  "+id)
	h.want(carol, room)
}

// wakes reports who of the listeners to a room and to users something wakes.
func (h *env) wakes(room string, do func()) string {
	h.T.Helper()
	nid, err := h.Rooms.Timeline.Number(h.T.Context(), room)
	h.OK(err)
	topics := []journal.Topic{{Room: nid}, {User: alice}, {User: bob}}
	woken := make([]<-chan struct{}, len(topics))
	for i, topic := range topics {
		l := h.Journal.Listen()
		h.T.Cleanup(l.Close)
		l.Follow(topic)
		woken[i] = l.Woken()
	}
	do()
	names := ""
	for i, name := range []string{"room ", "alice ", "bob "} {
		select {
		case <-woken[i]:
			names += name
		default:
		}
	}
	return names
}

func TestReceiptsWakeWhoMaySeeThem(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	id := h.say(alice, room, "", "")
	for typ, want := range map[string]string{"m.read": "room ", "m.read.private": "bob ", "m.fully_read": "bob "} {
		if got := h.wakes(room, func() { h.read(bob, room, typ, id) }); got != want {
			t.Errorf("%s wakes %s, want %s", typ, got, want)
		}
	}
}

func TestReceiptsOfThreads(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	root := h.say(alice, room, "", "")
	inThread := h.say(alice, room, "m.thread", root)
	reaction := h.say(alice, room, "m.annotation", inThread)
	ofReaction := h.say(alice, room, "m.annotation", reaction)
	plain := h.say(alice, room, "", "")
	toRoot := h.say(alice, room, "m.annotation", root)
	ofThat := h.say(alice, room, "m.reference", toRoot)
	third := h.say(alice, room, "m.reference", ofReaction)
	tooFar := h.say(alice, room, "m.reference", third)
	gone := h.say(alice, room, "m.annotation", "$unknown")
	removed := h.say(alice, room, "m.thread", root)
	ofRemoved := h.say(alice, room, "m.annotation", removed)
	_, err := h.Rooms.Redact(t.Context(), rooms.Request{UserID: alice, RoomID: room}, removed, "")
	h.OK(err)
	for _, test := range []struct {
		what, event, thread string
		fits                bool
	}{
		{"in the thread", inThread, root, true},
		{"a relation to it", reaction, root, true},
		{"a relation to that", ofReaction, root, true},
		{"a relation over three others", third, root, true},
		{"a relation over three others, in the main timeline", third, "main", false},
		{"a relation over four others", tooFar, root, false},
		{"a relation over four others, in the main timeline", tooFar, "main", true},
		{"a relation to it, in a thread of that", reaction, inThread, false},
		{"the root, in its thread", root, root, true},
		{"the root", root, "main", true},
		{"a relation to the root", toRoot, "main", true},
		{"a message", plain, "main", true},
		{"a relation to what is not there", gone, "main", true},
		{"a relation to what is not there, in a thread of that", gone, "$unknown", false},
		{"what was redacted, in the thread", removed, root, true},
		{"what was redacted, in the main timeline", removed, "main", true},
		{"a relation to that, in the thread", ofRemoved, root, true},
		{"a relation to that, in the main timeline", ofRemoved, "main", true},
		{"a relation to that, in a thread of that", ofRemoved, removed, false},
		{"a message, in a thread", plain, root, false},
		{"in the thread, in the main timeline", inThread, "main", false},
		{"a relation to it, in the main timeline", reaction, "main", false},
		{"a relation to the root, in the thread", toRoot, root, true},
		{"a relation to that", ofThat, root, true},
		{"a relation to that, in the main timeline", ofThat, "main", true},
		{"another thread", inThread, plain, false},
		{"no thread", inThread, "", false},
		{"nonsense", inThread, "nonsense", false},
	} {
		err := h.Service.Send(t.Context(), bob, room, "m.read", test.event, &test.thread)
		if test.fits && err != nil {
			t.Errorf("%s: %v", test.what, err)
		}
		if !test.fits {
			matrixtest.WantCode(t, err, matrix.InvalidParam, test.what)
		}
	}
	main := "main"
	matrixtest.WantCode(t, h.Service.Send(t.Context(), bob, room, "m.fully_read", plain, &main), matrix.InvalidParam, "a thread of m.fully_read")
}

// TestReceiptOfMalformedRelation: what looks like a relation to a thread's root and is
// none stands in the main timeline, and only there.
func TestReceiptOfMalformedRelation(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	root := h.say(alice, room, "", "")
	for _, relation := range []string{
		`{"rel_type":"m.thread"}`, `{"event_id":"` + root + `"}`, `{"Rel_Type":"m.thread","Event_ID":"` + root + `"}`,
		`{"rel_type":7,"event_id":"` + root + `"}`, `{"m.in_reply_to":{"event_id":"` + root + `"}}`,
	} {
		id, err := h.Rooms.Send(t.Context(), rooms.Request{UserID: alice, RoomID: room}, "m.room.message",
			json.RawMessage(`{"body":"hi","m.relates_to":`+relation+`}`))
		h.OK(err)
		main := receipts.MainThread
		if err := h.Service.Send(t.Context(), bob, room, "m.read", id, &main); err != nil {
			t.Errorf("%s, in the main timeline: %v", relation, err)
		}
		matrixtest.WantCode(t, h.Service.Send(t.Context(), bob, room, "m.read", id, &root), matrix.InvalidParam, relation+", in the thread")
	}
}

func TestEachThreadHasItsReceipt(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	root := h.say(alice, room, "", "")
	one := h.say(alice, room, "m.thread", root)
	plain := h.say(alice, room, "", "")
	two := h.say(alice, room, "m.thread", root)
	h.readThread(bob, room, "m.read", one, root)
	h.readThread(bob, room, "m.read.private", two, root)
	h.readThread(bob, room, "m.read", plain, "main")
	h.read(bob, room, "m.read", root)
	want := timeline.ReadMarks{
		Unthreaded: h.place(bob, room, root), Main: h.place(bob, room, plain),
		Threads: map[string]timeline.Place{root: h.place(bob, room, two)},
	}
	if got := h.marks(bob, room); !reflect.DeepEqual(got, want) {
		t.Errorf("marks are %v, want %v", got, want)
	}
	h.want(alice, room, bob+" m.read "+root+" "+one, bob+" m.read main "+plain, bob+" m.read  "+root)
}

func TestBadReceipts(t *testing.T) {
	h := newEnv(t)
	room, other := h.room(), h.room()
	id, elsewhere := h.say(alice, room, "", ""), h.say(alice, other, "", "")
	send := func(user, room, typ, id string) error { return h.Service.Send(t.Context(), user, room, typ, id, nil) }
	for _, typ := range []string{"m.read", "m.read.private", "m.fully_read"} {
		matrixtest.WantCode(t, send(bob, room, typ, "$unknown"), matrix.NotFound, "no such event")
		matrixtest.WantCode(t, send(bob, room, typ, elsewhere), matrix.NotFound, "an event of another room")
		matrixtest.WantCode(t, send(carol, room, typ, id), matrix.Forbidden, "a stranger")
		matrixtest.WantCode(t, send(bob, "!unknown:localhost", typ, id), matrix.Forbidden, "no such room")
	}
	matrixtest.WantCode(t, send(bob, room, "m.seen", id), matrix.InvalidParam, "an unknown type")
	h.OK(h.Rooms.Leave(t.Context(), bob, room, ""))
	matrixtest.WantCode(t, send(bob, room, "m.read", id), matrix.Forbidden, "who has left")
}

func TestMarkersAreSetTogether(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	first, second, third := h.say(alice, room, "", ""), h.say(alice, room, "", ""), h.say(alice, room, "", "")
	h.OK(h.SetMarkers(t.Context(), bob, room, receipts.Markers{FullyRead: first, Read: second, ReadPrivate: third}))
	h.want(bob, room, bob+" m.read  "+second, bob+" m.read.private  "+third)
	content, err := h.data.Get(t.Context(), bob, room, "m.fully_read")
	h.OK(err)
	if want := fmt.Sprintf(`{"event_id":%q}`, first); string(content) != want {
		t.Errorf("the marker is %s, want %s", content, want)
	}
	h.OK(h.SetMarkers(t.Context(), bob, room, receipts.Markers{}))
	matrixtest.WantCode(t, h.SetMarkers(t.Context(), bob, room, receipts.Markers{Read: "$unknown"}), matrix.NotFound, "an unknown event")
}

// The marks in memory are those of the database, whichever process took the receipts, and
// at whatever time the marks are read first.
func TestMarksStayInStep(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	one, two := envOn(t, pool), envOn(t, pool)
	room := one.room()
	root := one.say(alice, room, "", "")
	var events []string
	for range 12 {
		events = append(events, one.say(alice, room, "", ""), one.say(alice, room, "m.thread", root))
	}
	var all sync.WaitGroup
	for w, h := range []*env{one, two, one, two} {
		all.Go(func() {
			for i := range events {
				id := events[(i*7+w*5)%len(events)]
				var thread *string
				if w > 1 {
					thread = new(root)
				}
				err := h.Service.Send(t.Context(), bob, room, []string{"m.read", "m.read.private"}[i%2], id, thread)
				if err != nil && !matrix.IsCode(err, matrix.InvalidParam) {
					t.Errorf("send: %v", err)
				}
				h.marks(bob, room)
			}
		})
	}
	all.Wait()
	newest := max(one.Journal.Position(), two.Journal.Position())
	want := timeline.ReadMarks{
		Unthreaded: one.place(bob, room, events[len(events)-1]),
		Threads:    map[string]timeline.Place{root: one.place(bob, room, events[len(events)-1])},
	}
	for i, h := range []*env{one, two, envOn(t, pool)} {
		h.OK(h.Journal.CatchUp(t.Context(), newest))
		if got := h.marks(bob, room); !reflect.DeepEqual(got, want) {
			t.Errorf("process %d: marks are %v, want %v", i, got, want)
		}
	}
}

func TestMarksTakeNoSQLInTheUsualCase(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	root := h.say(alice, room, "", "")
	thread := h.say(alice, room, "m.thread", root)
	h.marks(bob, room)
	h.read(bob, room, "m.read", root)
	h.readThread(bob, room, "m.read.private", thread, root)
	h.readThread(bob, room, "m.read", root, "main")
	before := h.Pool.Stat().AcquireCount()
	got := h.marks(bob, room)
	if more := h.Pool.Stat().AcquireCount() - before; more != 0 {
		t.Errorf("the database was asked %d times", more)
	}
	want := envOn(t, h.Pool).marks(bob, room)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("from memory %v, from the database %v", got, want)
	}
}

// The marks of a user who has read very many threads are not kept in memory.
func TestMarksOfManyThreads(t *testing.T) {
	h := newEnv(t)
	room := h.room()
	nid, err := h.Rooms.Timeline.Number(t.Context(), room)
	h.OK(err)
	fill := func(from, to int) {
		_, err := h.Pool.Exec(t.Context(), `
			INSERT INTO receipts SELECT $1, '@bob:localhost', 'm.read', '$thread' || n, '$event' || n, n, 0, 0
			FROM generate_series($2::int, $3::int) n`, nid, from, to)
		h.OK(err)
	}
	fill(1, 100)
	if got := len(h.marks(bob, room).Threads); got != 100 {
		t.Errorf("there are %d threads", got)
	}
	root := h.say(alice, room, "", "")
	h.readThread(bob, room, "m.read", h.say(alice, room, "m.thread", root), root)
	fill(101, 110)
	for range 2 {
		if got := len(h.marks(bob, room).Threads); got != 111 {
			t.Errorf("there are %d threads", got)
		}
	}
}

func TestReceiptsAtOnceMoveForward(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	processes := []*env{envOn(t, pool), envOn(t, pool)}
	h := processes[0]
	room := h.room()
	var events []string
	for range 10 {
		events = append(events, h.say(alice, room, "", ""))
	}
	var all sync.WaitGroup
	for i, id := range events {
		for range 2 {
			all.Go(func() {
				if err := processes[i%2].Service.Send(t.Context(), bob, room, "m.read", id, nil); err != nil {
					t.Errorf("send: %v", err)
				}
			})
		}
	}
	all.Wait()
	h.OK(h.Journal.CatchUp(t.Context(), processes[1].Journal.Position()))
	h.want(alice, room, bob+" m.read  "+events[9])
}

func TestReceiptEvents(t *testing.T) {
	t.Parallel()
	at := func(user, typ, thread, id string, p timeline.Place) *receipts.Receipt {
		return &receipts.Receipt{UserID: user, Type: typ, ThreadID: thread, EventID: id, EventPlace: p, TS: int64(p) * 10}
	}
	list := []*receipts.Receipt{
		at(bob, "m.read", "", "$2", 2),
		at(alice, "m.read", "", "$1", 1),
		at(alice, "m.read", "main", "$1", 1),
		at(alice, "m.read", "", "$2", 2), // takes the place of the one before
		at(alice, "m.read.private", "", "$2", 2),
		at(alice, "m.read", "$t", "$3", 3),
		at(carol, "m.read", "", "$1", 1),
	}
	want := `{"content":{"$1":{"m.read":{"@carol:localhost":{"ts":10}}},` +
		`"$2":{"m.read":{"@alice:localhost":{"ts":20},"@bob:localhost":{"ts":20}},"m.read.private":{"@alice:localhost":{"ts":20}}}},"type":"m.receipt"},` +
		`{"content":{"$3":{"m.read":{"@alice:localhost":{"thread_id":"$t","ts":30}}}},"type":"m.receipt"},` +
		`{"content":{"$1":{"m.read":{"@alice:localhost":{"thread_id":"main","ts":10}}}},"type":"m.receipt"}`
	for range 10 {
		if got := string(receipts.AppendEvents(nil, slices.Clone(list))); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
		list = append(list[1:], list[0]) // the order does not matter
	}
}
