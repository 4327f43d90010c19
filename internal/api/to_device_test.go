package api

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// toDevice sends messages of a type by a transaction: users, devices and contents.
func toDevice(c *matrixtest.Client, typ, txn string, messages map[string]any) *matrixtest.Response {
	c.T.Helper()
	return c.Do("PUT", "/sendToDevice/"+typ+"/"+txn, map[string]any{"messages": messages})
}

// received lists the messages to the device in an answer of /sync, each as sender, type
// and the n of its content.
func received(r *matrixtest.Response) (list []string) {
	events, _ := r.At("to_device", "events").([]any)
	for _, m := range events {
		event := m.(map[string]any)
		content, _ := event["content"].(map[string]any)
		n, _ := content["n"].(string)
		list = append(list, event["sender"].(string)+" "+event["type"].(string)+" "+n)
	}
	return list
}

func wantReceived(t *testing.T, r *matrixtest.Response, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, received(r)); diff != "" {
		t.Errorf("messages to the device (-want +got):\n%s", diff)
	}
}

func n(text string) map[string]any { return map[string]any{"n": text} }

func TestMessagesReachTheDevicesTheyAreFor(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, phone := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	desk := anyone.Login("bob", "wordpass")
	before := phone.Sync("").NextBatch()
	atDesk := desk.Sync("").NextBatch()
	toDevice(alice, "m.one", "1", map[string]any{phone.UserID: map[string]any{phone.DeviceID: n("a"), "NOBODY": n("x")}}).OK()
	toDevice(alice, "m.two", "2", map[string]any{
		phone.UserID: map[string]any{"*": n("b"), desk.DeviceID: n("c")}, "@nobody:localhost": map[string]any{"*": n("x")},
		"@carol:elsewhere.example": map[string]any{"*": n("x")}, alice.UserID: map[string]any{alice.DeviceID: n("d")},
	}).OK()

	first := phone.Sync(before)
	wantReceived(t, first, alice.UserID+" m.one a", alice.UserID+" m.two b")
	wantReceived(t, phone.Sync(before), alice.UserID+" m.one a", alice.UserID+" m.two b") // nothing was acknowledged
	wantReceived(t, phone.Sync(first.NextBatch()))
	wantReceived(t, desk.Sync(atDesk), alice.UserID+" m.two c")
	wantReceived(t, alice.Sync(""), alice.UserID+" m.two d")
}

// sendTo sends one message with an n to all devices of a user.
func sendTo(from, to *matrixtest.Client, txn, text string) {
	from.T.Helper()
	toDevice(from, "m.x", txn, map[string]any{to.UserID: map[string]any{"*": n(text)}}).OK()
}

// serverOn runs one more server process, as it were, on a database.
func processOn(t *testing.T, pool *pgxpool.Pool) *matrixtest.Client {
	t.Helper()
	return matrixtest.New(t, newAPI(t, servicesOn(t, pool)).Handler())
}

// via returns the same client, at another process.
func via(server, c *matrixtest.Client) *matrixtest.Client {
	other := *c
	other.BaseURL, other.HTTP = server.BaseURL, server.HTTP
	return &other
}

func TestToDeviceRefusesWhatItCannotRead(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	before := alice.Sync("").NextBatch()
	good := `{"` + alice.UserID + `":{"*":{"n":"x"}}`
	long := strings.Repeat("x", 256)
	many := strings.Repeat(`"D%d":{},`, 10_001)
	for i := range 10_001 {
		many = strings.Replace(many, "%d", fmt.Sprint(i), 1)
	}
	for name, test := range map[string]struct {
		typ, txn, body string
		status         int
		errcode        string
	}{
		"no JSON":                        {"m.x", "1", `messages`, 400, "M_NOT_JSON"},
		"no object":                      {"m.x", "1", `[]`, 400, "M_BAD_JSON"},
		"no messages":                    {"m.x", "1", `{}`, 400, "M_MISSING_PARAM"},
		"messages are null":              {"m.x", "1", `{"messages":null}`, 400, "M_MISSING_PARAM"},
		"messages are a list":            {"m.x", "1", `{"messages":[]}`, 400, "M_BAD_JSON"},
		"messages are a text":            {"m.x", "1", `{"messages":"x"}`, 400, "M_BAD_JSON"},
		"messages of a user are a list":  {"m.x", "1", `{"messages":` + good + `,"@b:localhost":[]}}`, 400, "M_BAD_JSON"},
		"a message is a text":            {"m.x", "1", `{"messages":` + good + `,"@b:localhost":{"D":"x"}}}`, 400, "M_BAD_JSON"},
		"a message is null":              {"m.x", "1", `{"messages":` + good + `,"@b:localhost":{"D":null}}}`, 400, "M_BAD_JSON"},
		"a user who cannot be":           {"m.x", "1", `{"messages":` + good + `,"bob":{"*":{}}}}`, 400, "M_INVALID_PARAM"},
		"a user twice":                   {"m.x", "1", `{"messages":` + good + `,"@b:localhost":{},"@b:localhost":{}}}`, 400, "M_BAD_JSON"},
		"a type that is too long":        {long, "1", `{"messages":` + good + `}}`, 400, "M_INVALID_PARAM"},
		"a type with NUL":                {"m%00x", "1", `{"messages":` + good + `}}`, 400, "M_INVALID_PARAM"},
		"a transaction ID that is long":  {"m.x", long, `{"messages":` + good + `}}`, 400, "M_INVALID_PARAM"},
		"a transaction ID with NUL":      {"m.x", "%00", `{"messages":` + good + `}}`, 400, "M_INVALID_PARAM"},
		"more devices than may be":       {"m.x", "1", `{"messages":` + good + `,"@b:localhost":{` + strings.TrimSuffix(many, ",") + `}}}`, 413, "M_TOO_LARGE"},
		"a message larger than an event": {"m.x", "1", `{"messages":{"@b:localhost":{"D":{"n":"` + strings.Repeat("x", 1<<16) + `"}}}}`, 413, "M_TOO_LARGE"},
		"more than a body may be":        {"m.x", "1", `{"messages":{"@b:localhost":{"D":{"n":"` + strings.Repeat("x", 1<<20) + `"}}}}`, 413, "M_TOO_LARGE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alice := alice.As(t)
			alice.Do("PUT", "/sendToDevice/"+test.typ+"/"+test.txn, test.body).Refused(test.status, test.errcode)
			wantReceived(t, alice.Sync(before))
		})
	}
}

func TestToDevicePassesOverDevicesThatCannotBe(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	devices := map[string]any{"": n("x"), strings.Repeat("x", 300): n("x"), alice.DeviceID: map[string]any{"n": "a", "nul": "\x00"}}
	toDevice(alice, "m.x", "1", map[string]any{alice.UserID: devices, "@nobody:localhost": map[string]any{}}).OK()
	got := alice.Sync("")
	wantReceived(t, got, alice.UserID+" m.x a")
	if nul := got.String("to_device", "events", 0, "content", "nul"); nul != "\x00" {
		t.Errorf("the content came as %q", nul)
	}
}

func TestRepeatedToDeviceRequestSendsNothingTwice(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	one, two := processOn(t, pool), processOn(t, pool)
	alice := one.Register("alice", "wordpass")
	again := one.Login("alice", "wordpass")
	bob := one.Register("bob", "wordpass")
	before := bob.Sync("").NextBatch()

	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() { sendTo(via([]*matrixtest.Client{one, two}[i%2], alice), bob, "txn", "a") })
	}
	all.Wait()
	sendTo(alice, bob, "txn", "other content")
	// Of another device or another path it is another request.
	sendTo(again, bob, "txn", "b")
	toDevice(alice, "m.y", "txn", map[string]any{bob.UserID: map[string]any{"*": n("c")}}).OK()
	// After a restart nothing is in memory.
	sendTo(via(processOn(t, pool), alice), bob, "txn", "a")
	wantReceived(t, bob.Sync(before), alice.UserID+" m.x a", alice.UserID+" m.x b", alice.UserID+" m.y c")
}

func TestWaitingSyncGetsMessagesAtOnce(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	since := bob.Sync("").NextBatch()
	answers := make(chan *matrixtest.Response, 2)
	for range 2 { // two at once of one device get the same
		go func() { answers <- bob.Do("GET", matrixtest.SyncPath(since, "timeout", "60000"), nil) }()
	}
	sendTo(alice, bob, "1", "a")
	for range 2 {
		wantReceived(t, <-answers, alice.UserID+" m.x a")
	}
}

func TestManyMessagesComeInSeveralAnswers(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	pool := postgrestest.New(t)
	anyone := processOn(t, pool)
	alice, phone := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	desk := anyone.Login("bob", "wordpass")
	before := map[*matrixtest.Client]string{phone: phone.Sync("").NextBatch(), desk: desk.Sync("").NextBatch()}
	var want []string
	for i := range 230 {
		sendTo(alice, phone, fmt.Sprint(i), fmt.Sprint(i))
		want = append(want, fmt.Sprintf("%s m.x %d", alice.UserID, i))
	}
	restarted := processOn(t, pool)
	for device, from := range map[*matrixtest.Client]*matrixtest.Client{phone: phone, desk: via(restarted, desk)} {
		first := from.Sync(before[device])
		wantReceived(t, first, want[:100]...)
		// The rest comes at once, however long the client is ready to wait.
		second := from.Sync(first.NextBatch(), "timeout", "60000")
		wantReceived(t, second, want[100:200]...)
		wantReceived(t, from.Sync(first.NextBatch()), want[100:200]...) // the answer was lost
		third := from.Sync(second.NextBatch(), "timeout", "60000")
		wantReceived(t, third, want[200:]...)
		wantReceived(t, from.Sync(third.NextBatch()))
		wantReceived(t, from.Sync(before[device])) // all was acknowledged

		room := from.Do("POST", "/createRoom", map[string]any{}).OK().String("room_id")
		for _, path := range []string{"/rooms/" + room + "/messages?dir=b&from=", "/events?timeout=0&from=", "/rooms/" + room + "/members?at="} {
			from.Do("GET", path+url.QueryEscape(first.NextBatch()), nil).OK()
		}
	}
}

func TestLargeMessagesComeInSeveralAnswers(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	since := bob.Sync("").NextBatch()
	large := strings.Repeat("x", 60_000)
	var want []string
	for i := range 12 {
		txn := fmt.Sprint(i)
		want = append(want, alice.UserID+" m.x "+txn)
		toDevice(alice, "m.x", txn, map[string]any{bob.UserID: map[string]any{"*": map[string]any{"n": txn, "x": large}}}).OK()
	}
	first := bob.Sync(since)
	wantReceived(t, first, want[:8]...)
	wantReceived(t, bob.Sync(first.NextBatch(), "timeout", "60000"), want[8:]...)
}

func TestMessagesWaitUntilTheyAreAcknowledged(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	anyone := processOn(t, pool)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	sendTo(alice, bob, "1", "a")
	wantReceived(t, bob.Sync(""), alice.UserID+" m.x a")
	// A client that begins anew has got nothing, and neither has one after a restart.
	wantReceived(t, via(processOn(t, pool), bob).Sync(""), alice.UserID+" m.x a")
	got := bob.Sync("")
	wantReceived(t, got, alice.UserID+" m.x a")
	sendTo(alice, bob, "2", "b")
	wantReceived(t, bob.Sync(got.NextBatch()), alice.UserID+" m.x b")
	wantReceived(t, bob.Sync(""), alice.UserID+" m.x b")
	matrixtest.Until(t, "what was acknowledged is deleted", func() bool {
		var left int
		if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM to_device`).Scan(&left); err != nil {
			t.Fatal(err)
		}
		return left == 1
	})
}

func TestOlderGenerationsOfSyncTakeNoMessagesAway(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	old := *bob
	old.Prefix = "/_matrix/client/r0"
	start := old.Do("GET", "/initialSync", nil).OK().String("end")
	sendTo(alice, bob, "1", "a")
	afterThat := old.Do("GET", "/initialSync", nil).OK().String("end")
	events := old.Do("GET", "/events?timeout=0&from="+url.QueryEscape(start), nil).OK().String("end")
	fresh := old.Do("GET", "/events?timeout=0", nil).OK().String("end")
	for _, since := range []string{start, afterThat, events, fresh} {
		wantReceived(t, bob.Sync(since), alice.UserID+" m.x a")
	}
}

func TestDeviceMadeAnewGetsNothingOfItsPredecessor(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	anyone := processOn(t, pool)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	since := bob.Sync("").NextBatch()
	sendTo(alice, bob, "1", "a")
	bob.Do("POST", "/logout", nil).OK()
	toDevice(alice, "m.x", "2", map[string]any{bob.UserID: map[string]any{bob.DeviceID: n("to nobody")}}).OK()
	login := anyone.Do("POST", "/login", map[string]any{
		"type": "m.login.password", "password": "wordpass", "device_id": bob.DeviceID,
		"identifier": map[string]any{"type": "m.id.user", "user": "bob"},
	}).OK()
	again := *bob
	again.Token = login.String("access_token")
	wantReceived(t, again.Sync(""))
	wantReceived(t, again.Sync(since))
	wantReceived(t, via(processOn(t, pool), &again).Sync(since))
	sendTo(alice, &again, "3", "b")
	wantReceived(t, again.Sync(since), alice.UserID+" m.x b")
}

func TestToDeviceInEachGeneration(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	guest := newGuest(anyone)
	for _, prefix := range []string{"v3", "r0", "unstable", "v2_alpha"} {
		since := bob.Sync("").NextBatch()
		for _, from := range []*matrixtest.Client{alice, guest} {
			old := *from
			old.Prefix = "/_matrix/client/" + prefix
			sendTo(&old, bob, prefix, prefix)
		}
		reader := *bob
		if reader.Prefix = "/_matrix/client/" + prefix; prefix == "unstable" {
			reader.Prefix = bob.Prefix
		}
		got := reader.Sync(since)
		wantReceived(t, got, alice.UserID+" m.x "+prefix, guest.UserID+" m.x "+prefix)
		wantReceived(t, reader.Sync(got.NextBatch()))
	}
}

func TestMessagesAreNotFiltered(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	sendTo(alice, bob, "1", "a")
	bob.Do("PUT", "/user/"+url.PathEscape(bob.UserID)+"/account_data/m.ignored_user_list",
		map[string]any{"ignored_users": map[string]any{alice.UserID: map[string]any{}}}).OK()
	got := bob.Sync("", "filter", `{"account_data":{"types":[]},"presence":{"types":[]},"room":{"rooms":[]},"event_fields":["type"]}`)
	wantReceived(t, got, alice.UserID+" m.x a")
}
