package push

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/auth"
	"homeserver/internal/auth/account"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

// login makes an account, unless there is one, and logs in to it on a device.
func (h *env) login(name, deviceID string) matrix.Session {
	h.T.Helper()
	ctx := h.T.Context()
	exists, err := account.Exists(ctx, h.Pool, "@"+name+":localhost")
	h.OK(err)
	if !exists {
		_, err := h.Users.CreateAccount(ctx, auth.NewAccount{Username: name, Password: "wordpass"})
		h.OK(err)
	}
	creds, err := h.Users.Login(ctx, auth.LoginRequest{Type: "m.login.password", User: name, Password: "wordpass", DeviceID: deviceID}, matrix.Client{})
	h.OK(err)
	who, err := h.Users.Sessions.Authenticate(ctx, creds.AccessToken)
	h.OK(err)
	return who
}

// pusherBody is a request for an HTTP pusher, with members replaced or, by "",
// taken away.
func pusherBody(t testing.TB, changes map[string]string) PusherRequest {
	t.Helper()
	body := map[string]json.RawMessage{
		"kind": json.RawMessage(`"http"`), "app_id": json.RawMessage(`"org.example.app"`), "pushkey": json.RawMessage(`"key"`),
		"app_display_name": json.RawMessage(`"App"`), "device_display_name": json.RawMessage(`"Phone"`), "lang": json.RawMessage(`"en"`),
		"data": json.RawMessage(`{"url":"https://push.example.org/_matrix/push/v1/notify"}`),
	}
	for name, value := range changes {
		body[name] = json.RawMessage(value)
		if value == "" {
			delete(body, name)
		}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	var q PusherRequest
	if err := json.Unmarshal(raw, &q); err != nil {
		t.Fatal(err)
	}
	return q
}

func (h *env) setPusher(who matrix.Session, changes map[string]string) error {
	h.T.Helper()
	return h.SetPusher(h.T.Context(), who.UserID, who.DeviceID, pusherBody(h.T, changes))
}

// keys lists the keys of a user's pushers.
func (h *env) keys(userID string) []string {
	h.T.Helper()
	list, err := h.Pushers(h.T.Context(), userID)
	h.OK(err)
	keys := []string{}
	for _, p := range list {
		keys = append(keys, p.Pushkey)
	}
	return keys
}

func (h *env) wantKeys(userID string, want ...string) {
	h.T.Helper()
	if diff := cmp.Diff(append([]string{}, want...), h.keys(userID)); diff != "" {
		h.T.Errorf("pushers of %s (-want +got):\n%s", userID, diff)
	}
}

func TestPushers(t *testing.T) {
	h := newEnv(t)
	phone := h.login("alice", "PHONE")
	h.wantKeys(alice)
	h.OK(h.setPusher(phone, map[string]string{
		"profile_tag": `"tag"`, "data": `{"url":"https://push.example.org:8443/_matrix/push/v1/notify","format":"event_id_only","x":[1]}`,
	}))
	list, err := h.Pushers(t.Context(), alice)
	h.OK(err)
	got, err := matrix.EncodeJSON(list)
	h.OK(err)
	want := `[{"app_display_name":"App","app_id":"org.example.app","data":{"format":"event_id_only",` +
		`"url":"https://push.example.org:8443/_matrix/push/v1/notify","x":[1]},"device_display_name":"Phone","kind":"http",` +
		`"lang":"en","profile_tag":"tag","pushkey":"key","org.matrix.msc3881.device_id":"PHONE","org.matrix.msc3881.enabled":true}]`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	h.OK(h.setPusher(phone, map[string]string{"lang": `"de"`}))
	if list, err := h.Pushers(t.Context(), alice); err != nil || len(list) != 1 || list[0].Lang != "de" || list[0].ProfileTag != "" {
		t.Errorf("after a change: %+v, %v", list, err)
	}
	h.OK(h.setPusher(phone, map[string]string{"pushkey": `"other"`}))
	h.OK(h.setPusher(phone, map[string]string{"app_id": `"org.example.app2"`, "pushkey": `"third"`}))
	h.wantKeys(alice, "key", "other", "third")
	// To delete takes no more than the names.
	h.OK(h.SetPusher(t.Context(), alice, "PHONE", PusherRequest{Kind: json.RawMessage("null"), AppID: new("org.example.app"), Pushkey: new("key")}))
	h.OK(h.setPusher(phone, map[string]string{"kind": "null"}))
	h.wantKeys(alice, "other", "third")
}

func TestPusherOfOtherUsers(t *testing.T) {
	h := newEnv(t)
	a, b := h.login("alice", "A"), h.login("bob", "B")
	h.OK(h.setPusher(a, nil))
	h.OK(h.setPusher(b, map[string]string{"append": "true"}))
	h.wantKeys(alice, "key")
	h.wantKeys(bob, "key")
	h.OK(h.setPusher(b, map[string]string{"pushkey": `"another"`}))
	h.wantKeys(alice, "key")
	h.OK(h.setPusher(b, nil))
	h.wantKeys(alice)
	h.wantKeys(bob, "another", "key")
	// Deleting is for one's own.
	h.OK(h.setPusher(a, map[string]string{"kind": "null"}))
	h.wantKeys(bob, "another", "key")
}

func TestPusherGoesWithItsDevice(t *testing.T) {
	h := newEnv(t)
	phone, tablet := h.login("alice", "PHONE"), h.login("alice", "TABLET")
	h.OK(h.setPusher(phone, map[string]string{"pushkey": `"phone"`}))
	h.OK(h.setPusher(tablet, map[string]string{"pushkey": `"tablet"`}))
	h.OK(h.setPusher(phone, map[string]string{"pushkey": `"moves"`}))
	h.OK(h.setPusher(tablet, map[string]string{"pushkey": `"moves"`}))
	h.OK(h.Users.Sessions.Logout(t.Context(), phone))
	h.wantKeys(alice, "moves", "tablet")
	matrixtest.WantCode(h.T, h.setPusher(phone, map[string]string{"pushkey": `"late"`}), matrix.UnknownToken)
	h.OK(h.Users.Sessions.LogoutAll(t.Context(), alice))
	h.wantKeys(alice)
}

func TestPushersThatAreRefused(t *testing.T) {
	h := newEnv(t)
	who := h.login("alice", "PHONE")
	const gateway = "https://push.example.org/_matrix/push/v1/notify"
	url := func(u string) string { return fmt.Sprintf(`{"url":%q}`, u) }
	for _, test := range []struct {
		name, value string
		code        matrix.Code
	}{
		{"kind", "", matrix.MissingParam},
		{"app_id", "", matrix.MissingParam},
		{"pushkey", "", matrix.MissingParam},
		{"app_display_name", "", matrix.MissingParam},
		{"device_display_name", "", matrix.MissingParam},
		{"lang", "", matrix.MissingParam},
		{"data", "", matrix.MissingParam},
		{"data", "null", matrix.MissingParam},
		{"data", `{}`, matrix.MissingParam},
		{"kind", `"carrier pigeon"`, matrix.InvalidParam},
		{"kind", `""`, matrix.InvalidParam},
		{"kind", `7`, matrix.BadJSON},
		{"app_id", `""`, matrix.InvalidParam},
		{"app_id", `"` + strings.Repeat("ä", MaxAppIDRunes+1) + `"`, matrix.InvalidParam},
		{"pushkey", `""`, matrix.InvalidParam},
		{"pushkey", `"` + strings.Repeat("x", MaxPushkeyBytes+1) + `"`, matrix.InvalidParam},
		{"lang", `"` + strings.Repeat("x", 256) + `"`, matrix.InvalidParam},
		{"profile_tag", `"` + strings.Repeat("x", 256) + `"`, matrix.InvalidParam},
		{"data", `[]`, matrix.BadJSON},
		{"data", `{"url":7}`, matrix.BadJSON},
		{"data", `{"url":"` + gateway + `","format":7}`, matrix.BadJSON},
		{"data", `{"URL":"` + gateway + `"}`, matrix.MissingParam},
		{"data", `{"url":"` + gateway + `","x":"` + strings.Repeat("x", maxPusherDataBytes) + `"}`, matrix.InvalidParam},
		{"data", url("http://push.example.org/_matrix/push/v1/notify"), matrix.InvalidParam},
		{"data", url("https://push.example.org/"), matrix.InvalidParam},
		{"data", url("https://push.example.org/x/_matrix/push/v1/notify"), matrix.InvalidParam},
		{"data", url("https://push.example.org/_matrix/push/v1/notify/"), matrix.InvalidParam},
		{"data", url("https://push.example.org/_matrix%2Fpush/v1/notify"), matrix.InvalidParam},
		{"data", url("https:///_matrix/push/v1/notify"), matrix.InvalidParam},
		{"data", url("https://:443/_matrix/push/v1/notify"), matrix.InvalidParam},
		{"data", url("https://a:b@push.example.org/_matrix/push/v1/notify"), matrix.InvalidParam},
		{"data", url(gateway + "#x"), matrix.InvalidParam},
		{"data", url("://"), matrix.InvalidParam},
	} {
		err := h.setPusher(who, map[string]string{test.name: test.value})
		if !matrix.IsCode(err, test.code) {
			t.Errorf("%s %s: %v, want %s", test.name, test.value, err, test.code)
		}
	}
	err := h.setPusher(who, map[string]string{"lang": "", "data": ""})
	if err == nil || err.Error() != "M_MISSING_PARAM: Missing parameters: lang, data" {
		t.Errorf("got %v", err)
	}
	h.wantKeys(alice)
	h.OK(h.setPusher(who, map[string]string{
		"app_id": `"` + strings.Repeat("ä", MaxAppIDRunes) + `"`, "pushkey": `"` + strings.Repeat("x", MaxPushkeyBytes) + `"`,
	}))
}

func TestEmailPushers(t *testing.T) {
	h := newEnv(t)
	a, b := h.login("alice", "A"), h.login("bob", "B")
	email := func(appID, address string) map[string]string {
		return map[string]string{"kind": `"email"`, "app_id": `"` + appID + `"`, "pushkey": `"` + address + `"`, "data": `{}`}
	}
	h.OK(h.setPusher(a, email("m.email", "alice@example.org")))
	h.wantKeys(alice, "alice@example.org")
	matrixtest.WantCode(h.T, h.setPusher(a, email("org.example", "alice@example.org")), matrix.InvalidParam)
	matrixtest.WantCode(h.T, h.setPusher(a, email("m.email", "Alice <alice@example.org>")), matrix.InvalidParam)
	matrixtest.WantCode(h.T, h.setPusher(a, email("m.email", "alice")), matrix.InvalidParam)
	matrixtest.WantCode(h.T, h.setPusher(a, email("m.email", "bob@example.org")), threepidNotFound)
	matrixtest.WantCode(h.T, h.setPusher(b, email("m.email", "alice@example.org")), threepidNotFound)
	none := newService(Options{Pool: h.Pool, Journal: h.Journal, Rooms: h.Rooms.Timeline})
	matrixtest.WantCode(h.T, none.SetPusher(t.Context(), alice, "A", pusherBody(t, email("m.email", "alice@example.org"))), threepidNotFound)
}

func TestPushersAreBounded(t *testing.T) {
	h := newEnv(t)
	who := h.login("alice", "PHONE")
	var all sync.WaitGroup
	for c := range 4 {
		all.Go(func() {
			for i := range MaxPushers / 4 {
				if err := h.setPusher(who, map[string]string{"pushkey": fmt.Sprintf(`"%d.%d"`, c, i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	matrixtest.WantCode(h.T, h.setPusher(who, nil), matrix.Unknown)
	h.OK(h.setPusher(who, map[string]string{"pushkey": `"0.0"`, "lang": `"de"`}))
	h.OK(h.setPusher(who, map[string]string{"kind": "null", "pushkey": `"0.0"`}))
	h.OK(h.setPusher(who, nil))
	if got := len(h.keys(alice)); got != MaxPushers {
		t.Errorf("%d pushers, want %d", got, MaxPushers)
	}
}

// TestUsersTakeOneKeyFromEachOther must not end in a deadlock.
func TestUsersTakeOneKeyFromEachOther(t *testing.T) {
	h := newEnv(t)
	sessions := []matrix.Session{h.login("alice", "A"), h.login("bob", "B"), h.login("carol", "C")}
	var all sync.WaitGroup
	for _, who := range sessions {
		all.Go(func() {
			for range 15 {
				if err := h.setPusher(who, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := len(h.keys(alice)) + len(h.keys(bob)) + len(h.keys(carol)); got != 1 {
		t.Errorf("the key has %d pushers, want 1", got)
	}
}
