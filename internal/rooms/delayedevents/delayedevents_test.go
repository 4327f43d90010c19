package delayedevents

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal/replica"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol

// env is the harness with delayed events and a clock that the test moves. What is due is
// sent when the test says so.
type env struct {
	*roomstest.Env
	*Service
	clock *matrixtest.Clock
	txn   int
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	return envOn(t, nil, &matrixtest.Clock{})
}

// envOn starts another server process, as it were, on a database; nil: a new one.
func envOn(t *testing.T, pool *pgxpool.Pool, clock *matrixtest.Clock) *env {
	t.Helper()
	return envWith(t, pool, clock, nil)
}

// envWith is envOn for a process that hears of others by a channel.
func envWith(t *testing.T, pool *pgxpool.Pool, clock *matrixtest.Clock, channel *replica.Channel) *env {
	t.Helper()
	h := &env{Env: roomstest.Open(t, roomstest.Options{Pool: pool}), clock: clock}
	h.Service = New(Options{
		Pool: h.Pool, Journal: h.Journal, Rooms: h.Rooms, Channel: channel, Now: clock.Now, Log: slog.New(slog.DiscardHandler),
	})
	h.Run()
	return h
}

func (h *env) message(user, room, body string, delay time.Duration) Request {
	h.txn++
	q := Request{Request: roomstest.As(user, room), Type: "m.room.message", Content: roomstest.Message(body), Delay: delay.Milliseconds()}
	q.DeviceID, q.TxnID = "DEVICE", fmt.Sprint(h.txn)
	return q
}

func state(user, room, content string, delay time.Duration) Request {
	key := "seat"
	return Request{Request: roomstest.As(user, room), Type: "org.example.call", StateKey: &key, Content: json.RawMessage(content), Delay: delay.Milliseconds()}
}

func (h *env) schedule(q Request) (delayID string) {
	h.T.Helper()
	id, err := h.Schedule(h.T.Context(), q)
	h.OK(err)
	return id
}

// pass moves the clock, and sends what is due then.
func (h *env) pass(d time.Duration) {
	h.T.Helper()
	h.clock.Pass(d)
	_, err := h.sendDue(h.T.Context())
	h.OK(err)
}

func (h *env) act(delayID, action string) error { return h.Act(h.T.Context(), delayID, action) }

// list lists alice's delayed events by their IDs.
func (h *env) list(user string) (scheduled []string, finalised map[string]*Finalised) {
	h.T.Helper()
	list, err := h.List(h.T.Context(), Query{UserID: user})
	h.OK(err)
	finalised = map[string]*Finalised{}
	for _, e := range list.DelayedEvents {
		scheduled = append(scheduled, e.DelayID)
	}
	for _, f := range list.Finalised {
		finalised[f.DelayedEvent.DelayID] = f
	}
	return scheduled, finalised
}

func TestDelayedEventIsSentAtItsTime(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	id := h.schedule(h.message(bob, room, "later", 10*time.Second))
	h.pass(10*time.Second - time.Millisecond)
	matrixtest.Equal(t, "before its time", h.Bodies(alice, room), nil)
	scheduled, _ := h.list(bob)
	matrixtest.Equal(t, "scheduled", scheduled, []string{id})
	if scheduled, finalised := h.list(alice); len(scheduled)+len(finalised) > 0 {
		t.Errorf("alice sees bob's delayed events: %v, %v", scheduled, finalised)
	}
	if _, err := h.Get(t.Context(), alice, id); !matrix.IsCode(err, matrix.NotFound) {
		t.Errorf("alice gets bob's delayed event: %v", err)
	}

	h.pass(time.Millisecond)
	h.pass(time.Hour)
	matrixtest.Equal(t, "at its time", h.Bodies(alice, room), []string{"later"})
	scheduled, finalised := h.list(bob)
	f := finalised[id]
	if len(scheduled) > 0 || f == nil || f.Outcome != "send" || f.Reason != "delay" || f.EventID == nil || f.Error != nil {
		t.Fatalf("scheduled %v, finalised %+v", scheduled, f)
	}
	e := h.Event(alice, room, *f.EventID)
	if e.Sender != bob {
		t.Errorf("it is sent by %s", e.Sender)
	}
	// The delay ID is for the sender, whatever the device.
	for user, want := range map[string]bool{bob: true, alice: false} {
		format := timeline.Format{UserID: user, DeviceID: "OTHER", Now: time.Now()}
		text := string(format.AppendJSON(nil, e))
		if strings.Contains(text, `"org.matrix.msc4140.delay_id":"`+id+`"`) != want || strings.Contains(text, "transaction_id") {
			t.Errorf("%s sees %s", user, text)
		}
	}
}

func TestActionsOnDelayedEvents(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	later := h.schedule(h.message(alice, room, "put off", 10*time.Second))
	now := h.schedule(h.message(alice, room, "sent", 10*time.Second))
	never := h.schedule(h.message(alice, room, "cancelled", 10*time.Second))
	h.pass(6 * time.Second)
	h.OK(h.act(later, ActionRestart))
	for range 2 { // a request that is repeated is answered in the same way
		h.OK(h.act(now, ActionSend))
		h.OK(h.act(never, ActionCancel))
	}
	matrixtest.Equal(t, "sent before its time", h.Bodies(alice, room), []string{"sent"})
	for action, ids := range map[string][]string{
		ActionRestart: {now, never, "none", "\x00", ""}, ActionCancel: {now, "none", "\xff"}, ActionSend: {never, "none"},
	} {
		for _, id := range ids {
			matrixtest.WantCode(t, h.act(id, action), matrix.NotFound, action, id)
		}
	}
	matrixtest.WantCode(t, h.act(later, "stop"), matrix.InvalidParam)
	h.pass(9 * time.Second)
	matrixtest.Equal(t, "put off", h.Bodies(alice, room), []string{"sent"})
	h.pass(time.Second)
	matrixtest.Equal(t, "at the end", h.Bodies(alice, room), []string{"sent", "put off"})
	_, finalised := h.list(alice)
	for id, want := range map[string]string{later: "send delay", now: "send action", never: "cancel action"} {
		if f := finalised[id]; f.Outcome+" "+f.Reason != want {
			t.Errorf("%s: %+v, want %s", f.DelayedEvent.Content, f, want)
		}
	}
}

func TestRepeatedRequestSchedulesOneEvent(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	q := h.message(alice, room, "once", time.Second)
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			id, err := h.Schedule(t.Context(), q)
			if err != nil {
				t.Error(err)
			}
			ids[i] = id
		})
	}
	wg.Wait()
	h.pass(time.Second)
	ids = append(ids, h.schedule(q))
	if len(slices.Compact(ids)) != 1 {
		t.Errorf("one request has the IDs %q", ids)
	}
	h.pass(time.Hour)
	matrixtest.Equal(t, "messages", h.Bodies(alice, room), []string{"once"})
}

// Whatever of it was done before a process ended, another one sends an event once.
func TestDelayedEventIsSentOnceAfterACrash(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	other := envOn(t, h.Pool, h.clock)
	for name, before := range map[string]func(due []*delayed){
		"marked": func([]*delayed) {},
		"sent": func(due []*delayed) {
			_, err := h.send(t.Context(), due[0])
			h.OK(err)
		},
	} {
		message := h.schedule(h.message(alice, room, name, time.Second))
		h.clock.Pass(time.Second)
		due, err := h.claimDue(t.Context(), h.clock.Now().UnixMilli())
		h.OK(err)
		before(due)
		matrixtest.WantCode(t, other.act(message, ActionCancel), matrix.NotFound, name+": cancelled while it is sent")
		matrixtest.WantCode(t, other.act(message, ActionRestart), matrix.NotFound, name+": put off while it is sent")
		other.pass(0)
		bodies := other.Bodies(alice, room)
		if n := len(slices.DeleteFunc(bodies, func(b string) bool { return b != name })); n != 1 {
			t.Errorf("%s: sent %d times", name, n)
		}
		if _, finalised := other.list(alice); finalised[message] == nil || finalised[message].EventID == nil {
			t.Errorf("%s: finalised %v", name, finalised[message])
		}
	}
}

func TestSendingFromSeveralProcessesAtOnce(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	processes := []*env{h, envOn(t, h.Pool, h.clock)}
	const many = 30
	ids := make([]string, many)
	for i := range ids {
		ids[i] = h.schedule(h.message(alice, room, fmt.Sprint(i), time.Second))
	}
	h.clock.Pass(time.Second)
	var wg sync.WaitGroup
	for _, p := range processes {
		wg.Go(func() {
			if _, err := p.sendDue(t.Context()); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			for _, id := range ids {
				if err := p.act(id, ActionSend); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	bodies := envOn(t, h.Pool, h.clock).Bodies(alice, room)
	slices.Sort(bodies)
	if len(bodies) != many || len(slices.Compact(bodies)) != many {
		t.Errorf("%d events were sent as %q", many, bodies)
	}
}

func TestWhatCameDueMeanwhileIsSentInOrder(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, seconds := range []int{30, 10, 20, 40, 99} {
		h.schedule(h.message(alice, room, fmt.Sprint(seconds), time.Duration(seconds)*time.Second))
	}
	h.clock.Pass(time.Minute)
	next, err := h.sendDue(t.Context())
	h.OK(err)
	matrixtest.Equal(t, "messages", h.Bodies(alice, room), []string{"10", "20", "30", "40"})
	if want := h.clock.Now().Add(39 * time.Second); next == nil || time.UnixMilli(*next).Sub(want).Abs() > 5*time.Second {
		t.Errorf("the next one is due at %v, want about %v", next, want)
	}
}

func TestStateThatAnotherUserHasSetStays(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.SetState(alice, room, event.TypePowerLevels, "", `{"state_default":0}`)
	h.SetState(alice, room, "org.example.call", "seat", `{"by":"alice, before"}`)
	overtaken := h.schedule(state(bob, room, `{"by":"bob, later"}`, time.Second))
	h.SetState(bob, room, "org.example.call", "seat", `{"by":"bob"}`)
	h.SetState(alice, room, "org.example.call", "seat", `{"by":"alice"}`)
	h.pass(time.Second)
	h.WantContent(alice, room, "org.example.call", "seat", `{"by":"alice"}`)
	_, finalised := h.list(bob)
	if f := finalised[overtaken]; f == nil || f.Outcome != "cancel" || f.Reason != "error" || len(f.Error) == 0 {
		t.Errorf("finalised as %+v", f)
	}

	h.schedule(state(bob, room, `{"by":"bob, later"}`, time.Second))
	h.SetState(bob, room, "org.example.call", "seat", `{"by":"bob"}`)
	h.pass(time.Second)
	h.WantContent(alice, room, "org.example.call", "seat", `{"by":"bob, later"}`)
}

func TestDelayedEventThatIsRefusedThen(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	left := h.schedule(h.message(bob, room, "left", time.Second))
	weak := h.schedule(state(bob, room, `{}`, 2*time.Second))
	// Sent before its time it is refused, and stays scheduled.
	matrixtest.WantCode(t, h.act(weak, ActionSend), matrix.Forbidden)
	if scheduled, _ := h.list(bob); len(scheduled) != 2 {
		t.Errorf("scheduled: %v", scheduled)
	}
	h.Leave(bob, room)
	h.pass(2 * time.Second)
	scheduled, finalised := h.list(bob)
	if len(scheduled) > 0 {
		t.Errorf("scheduled: %v", scheduled)
	}
	for _, id := range []string{left, weak} {
		f := finalised[id]
		if f == nil || f.Outcome != "cancel" || f.Reason != "error" {
			t.Fatalf("finalised as %+v", f)
		}
		if code, _ := event.StringField(f.Error, "errcode"); code != "M_FORBIDDEN" {
			t.Errorf("the error is %s", f.Error)
		}
	}
	h.OK(h.act(left, ActionCancel))
	matrixtest.WantCode(t, h.act(left, ActionSend), matrix.NotFound)
}

func TestDelayedEventThatTheServerCannotSendIsTriedAgain(t *testing.T) {
	h := newEnv(t)
	var log bytes.Buffer
	h.o.Log = slog.New(slog.NewTextHandler(&log, nil))
	room := h.Public()
	_, err := h.Pool.Exec(t.Context(), `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'poisoned'; END $$;
		CREATE TRIGGER poison BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.type = 'm.room.message') EXECUTE FUNCTION refuse()`)
	h.OK(err)
	h.schedule(h.message(alice, room, "lucky", time.Second))
	h.pass(time.Second)
	h.pass(firstRetry)
	_, err = h.Pool.Exec(t.Context(), `ALTER TABLE events DISABLE TRIGGER poison`)
	h.OK(err)
	matrixtest.Equal(t, "before the next attempt", h.Bodies(alice, room), nil)
	h.pass(2 * firstRetry)
	matrixtest.Equal(t, "after it", h.Bodies(alice, room), []string{"lucky"})

	_, err = h.Pool.Exec(t.Context(), `ALTER TABLE events ENABLE TRIGGER poison`)
	h.OK(err)
	lost := h.schedule(h.message(alice, room, "lost", time.Second))
	for range maxFailed {
		h.pass(time.Hour)
	}
	if scheduled, finalised := h.list(alice); len(scheduled) > 0 || finalised[lost] == nil || finalised[lost].Reason != "error" {
		t.Errorf("scheduled %v, finalised %v", scheduled, finalised[lost])
	}
	// The log must not have the ID: anybody who knows it may send the event.
	if !strings.Contains(log.String(), "cannot be sent") || strings.Contains(log.String(), lost) {
		t.Errorf("the log says %s", log.String())
	}
}

// What the user's limits refuse is sent once they allow it, and can be cancelled meanwhile.
func TestDelayedEventWaitsForTheLimitsOfItsUser(t *testing.T) {
	t.Parallel()
	clock := &matrixtest.Clock{}
	limits := ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{ratelimit.Messages: {PerSecond: 0.1, Burst: 2}}, clock.Now, 0)
	h := &env{Env: roomstest.Open(t, roomstest.Options{Rooms: func(o *rooms.Options) { o.Limits = limits }}), clock: clock}
	h.Service = New(Options{Pool: h.Pool, Journal: h.Journal, Rooms: h.Rooms, Now: clock.Now, Log: slog.New(slog.DiscardHandler)})
	h.Run()
	room := h.Public(bob)
	var unwanted string
	for i, body := range []string{"1", "2", "3", "unwanted"} {
		unwanted = h.schedule(h.message(bob, room, body, time.Duration(i+1)*time.Millisecond))
	}
	h.pass(time.Second)
	matrixtest.Equal(t, "at once", h.Bodies(alice, room), []string{"1", "2"})
	h.OK(h.act(unwanted, ActionCancel))
	h.pass(9 * time.Second)
	matrixtest.Equal(t, "too early", h.Bodies(alice, room), []string{"1", "2"})
	h.pass(time.Second)
	matrixtest.Equal(t, "once the limits allow it", h.Bodies(alice, room), []string{"1", "2", "3"})
	if scheduled, _ := h.list(bob); len(scheduled) > 0 {
		t.Errorf("scheduled: %v", scheduled)
	}
}

func TestSchedulingIsBounded(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	for range MaxScheduled {
		h.schedule(h.message(alice, room, "one of many", time.Minute))
	}
	_, err := h.Schedule(t.Context(), h.message(alice, room, "too many", time.Hour))
	if e := matrixtest.WantCode(t, err, matrix.LimitExceeded); e != nil && (e.RetryAfter > time.Minute || e.RetryAfter < 30*time.Second) {
		t.Errorf("there is space again after %v", e.RetryAfter)
	}
	large := strings.Repeat("x", 60_000)
	var refused error
	for i := 0; refused == nil && i < MaxScheduled; i++ {
		_, refused = h.Schedule(t.Context(), h.message(bob, room, large, time.Minute))
	}
	matrixtest.WantCode(t, refused, matrix.LimitExceeded)
	h.pass(time.Minute)
	h.schedule(h.message(alice, room, "space again", time.Minute))
	if _, finalised := h.list(alice); len(finalised) != pageSize {
		t.Errorf("a page has %d finalised events", len(finalised))
	}
}

func TestPagesOfFinalisedEvents(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	const many = maxFinalised + 30
	for range many {
		h.OK(h.act(h.schedule(h.message(alice, room, "x", time.Minute)), ActionSend))
	}
	h.schedule(h.message(alice, room, "scheduled", time.Minute))
	seen := map[string]bool{}
	from := ""
	for page := 0; ; page++ {
		list, err := h.List(t.Context(), Query{UserID: alice, From: from})
		h.OK(err)
		if (len(list.Scheduled) == 1) != (page == 0) {
			t.Errorf("page %d has %d scheduled events", page, len(list.Scheduled))
		}
		for _, f := range list.Finalised {
			seen[f.DelayedEvent.DelayID] = true
		}
		if from = list.NextBatch; from == "" {
			break
		}
	}
	if len(seen) != maxFinalised {
		t.Errorf("%d finalised events are kept, want %d", len(seen), maxFinalised)
	}
	for _, q := range []Query{{Status: "old"}, {From: "x"}, {From: "1"}, {From: "1_\x00"}} {
		q.UserID = alice
		_, err := h.List(t.Context(), q)
		matrixtest.WantCode(t, err, matrix.InvalidParam, q)
	}
	some := slices.Collect(func(yield func(string) bool) {
		for id := range seen {
			yield(id)
			return
		}
	})
	list, err := h.List(t.Context(), Query{UserID: alice, IDs: some, Status: "finalised"})
	h.OK(err)
	if len(list.Finalised) != 1 || len(list.Scheduled) != 0 {
		t.Errorf("by ID: %d and %d", len(list.Finalised), len(list.Scheduled))
	}
	h.OK(h.prune(t.Context(), h.clock.Now().Add(time.Second).UnixMilli()))
	if scheduled, finalised := h.list(alice); len(scheduled) != 1 || len(finalised) != 0 {
		t.Errorf("after their time %d and %d are left", len(scheduled), len(finalised))
	}
	h.OK(h.Erase(t.Context(), alice))
	if scheduled, _ := h.list(alice); len(scheduled) != 0 {
		t.Errorf("an erased user has %v", scheduled)
	}
}

func TestWhatCannotBeScheduled(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	long, nul := strings.Repeat("x", 256), "\x00"
	for name, c := range map[string]struct {
		change func(q *Request)
		code   matrix.Code
	}{
		"no delay":           {func(q *Request) { q.Delay = 0 }, matrix.InvalidParam},
		"negative delay":     {func(q *Request) { q.Delay = -1 }, matrix.InvalidParam},
		"too long a delay":   {func(q *Request) { q.Delay = MaxDelay.Milliseconds() + 1 }, matrix.Unknown},
		"no type":            {func(q *Request) { q.Type = "" }, matrix.InvalidParam},
		"long type":          {func(q *Request) { q.Type = long }, matrix.TooLarge},
		"long key":           {func(q *Request) { q.StateKey = &long }, matrix.TooLarge},
		"NUL in the key":     {func(q *Request) { q.StateKey = &nul }, matrix.InvalidParam},
		"NUL in the ID":      {func(q *Request) { q.TxnID = nul }, matrix.InvalidParam},
		"create":             {func(q *Request) { q.Type = event.TypeCreate }, matrix.InvalidParam},
		"no levels":          {func(q *Request) { q.Type, q.Content = event.TypePowerLevels, json.RawMessage(`{"ban":"x"}`) }, matrix.BadJSON},
		"list":               {func(q *Request) { q.Content = json.RawMessage(`[]`) }, matrix.BadJSON},
		"no JSON":            {func(q *Request) { q.Content = json.RawMessage(`{`) }, matrix.NotJSON},
		"large":              {func(q *Request) { q.Content = roomstest.Message(strings.Repeat("x", 70_000)) }, matrix.TooLarge},
		"stranger":           {func(q *Request) { q.UserID = carol }, matrix.Forbidden},
		"no room":            {func(q *Request) { q.RoomID = "!none:localhost" }, matrix.Forbidden},
		"what is no room ID": {func(q *Request) { q.RoomID = "none" }, matrix.InvalidParam},
	} {
		q := h.message(bob, room, "x", time.Second)
		c.change(&q)
		_, err := h.Schedule(t.Context(), q)
		e := matrixtest.WantCode(t, err, c.code, name)
		if name == "too long a delay" && (e.Fields["org.matrix.msc4140.errcode"] != "M_MAX_DELAY_EXCEEDED" || e.Fields["org.matrix.msc4140.max_delay"] != MaxDelay.Milliseconds()) {
			t.Errorf("%s: %v", name, e.Fields)
		}
	}
	if scheduled, _ := h.list(bob); len(scheduled) != 0 {
		t.Errorf("what was refused is scheduled: %v", scheduled)
	}
}

func TestWorkerHearsOfWhatOtherProcessesSchedule(t *testing.T) {
	t.Parallel()
	pool, clock := postgrestest.New(t), &matrixtest.Clock{}
	channels := []*replica.Channel{replica.New(pool, slog.New(slog.DiscardHandler)), replica.New(pool, slog.New(slog.DiscardHandler))}
	leader, other := envWith(t, pool, clock, channels[0]), envWith(t, pool, clock, channels[1])
	for _, channel := range channels {
		leader.OK(channel.Start(t.Context()))
		t.Cleanup(channel.Stop)
	}
	alarms := make(chan time.Time, 100)
	leader.alarm = func(at time.Time) (<-chan time.Time, func()) {
		alarms <- at
		return nil, func() {}
	}
	leader.Start(t.Context())
	t.Cleanup(leader.Stop)
	<-alarms // it waits
	other.schedule(other.message(alice, other.Public(), "soon", time.Second))
	patience := time.After(matrixtest.Patience)
	for {
		select {
		case at := <-alarms:
			if at.Equal(clock.Now().Add(time.Second)) {
				return
			}
		case <-patience:
			t.Fatal("the worker has not heard of it")
		}
	}
}

// The worker waits for the earliest event, and looks at the clock now and then.
func TestWorkerWaitsForTheEarliest(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	alarms, rings := make(chan time.Time), make(chan time.Time)
	h.alarm = func(at time.Time) (<-chan time.Time, func()) {
		alarms <- at
		return rings, func() {}
	}
	h.Start(t.Context())
	t.Cleanup(func() {
		go func() {
			for range alarms { // so that the worker gets to its end
			}
		}()
		h.Stop()
	})
	near := func(at time.Time, d time.Duration) {
		t.Helper()
		if got := at.Sub(h.clock.Now()); got > d || got < d-5*time.Second {
			t.Errorf("the worker waits %v, want %v", got, d)
		}
	}
	near(<-alarms, longestWait)
	h.schedule(h.message(alice, room, "in an hour", time.Hour))
	near(<-alarms, longestWait)
	h.schedule(h.message(alice, room, "soon", 30*time.Second))
	near(<-alarms, 30*time.Second)
	h.clock.Pass(2 * time.Hour) // the clock is set
	rings <- time.Time{}
	near(<-alarms, longestWait)
	matrixtest.Equal(t, "messages", h.Bodies(alice, room), []string{"soon", "in an hour"})
	h.clock.Pass(-24 * time.Hour)
	h.schedule(h.message(alice, room, "after the clock was set back", 10*time.Second))
	near(<-alarms, 10*time.Second)
}
