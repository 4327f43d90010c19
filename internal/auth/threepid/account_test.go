package threepid_test

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/threepid/threepidtest"
	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/safehttp"
)

func TestListIsInTheOrderOfAdding(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	alice := h.user(t, "alice")
	list, err := h.List(t.Context(), alice)
	must(t, err)
	if body, err := json.Marshal(list); err != nil || string(body) != "[]" {
		t.Errorf("got %s, %v", body, err)
	}
	for _, address := range []string{"z@example.org", "a@example.org"} {
		h.give(t, alice, address)
		h.Pass(1)
		h.Pass(1_000_000)
	}
	list, err = h.List(t.Context(), alice)
	must(t, err)
	body, err := json.Marshal(list)
	must(t, err)
	want := `[{"medium":"email","address":"z@example.org","validated_at":1700000000000,"added_at":1700000000000},` +
		`{"medium":"email","address":"a@example.org","validated_at":1700000000001,"added_at":1700000000001}]`
	if string(body) != want {
		t.Errorf("got %s", body)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	sid := h.ask(t, threepid.ForAccount, email("a@example.org", 1))
	ours := threepid.Credentials{SID: sid, ClientSecret: secret, IDServer: h.identity.Name, IDAccessToken: threepidtest.AccessToken}
	theirs := threepid.Credentials{SID: "theirs", ClientSecret: secret, IDServer: h.identity.Name, IDAccessToken: threepidtest.AccessToken}
	for name, test := range map[string]struct {
		list threepid.CredentialsList
		want matrix.Code
	}{
		"none":     {nil, matrix.MissingParam},
		"too many": {make(threepid.CredentialsList, 11), matrix.MissingParam},
		"empty":    {threepid.CredentialsList{{}}, matrix.MissingParam},
		"not yet":  {threepid.CredentialsList{theirs, ours}, matrix.ThreepidAuthFailed},
		"unknown":  {threepid.CredentialsList{{SID: "x", ClientSecret: secret}}, matrix.ThreepidAuthFailed},
	} {
		_, _, err := h.Resolve(t.Context(), test.list)
		if !matrix.IsCode(err, test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	h.click(t)
	proved, elsewhere, err := h.Resolve(t.Context(), threepid.CredentialsList{theirs, ours})
	if err != nil || len(proved) != 1 || proved[0].Address.Address != "a@example.org" || len(elsewhere) != 1 || elsewhere[0] != theirs {
		t.Errorf("got %+v, %+v, %v", proved, elsewhere, err)
	}
}

func TestAddressesOfAUserAreBounded(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	alice := h.user(t, "alice")
	_, err := h.pool.Exec(t.Context(), `
		INSERT INTO user_threepids (medium, address, user_id, validated_at, added_at)
		SELECT 'email', n || '@example.org', $1, 0, 0 FROM generate_series(1, 100) n`, alice)
	must(t, err)
	sid := h.prove(t, threepid.ForAccount, "more@example.org")
	matrixtest.WantCode(t, h.claim(t, h.ClaimNew, sid, alice), matrix.ThreepidDenied)
}

// bind binds an address at the identity server.
func (h *env) bind(t testing.TB, userID, address string) {
	t.Helper()
	h.identity.Validate("sid-"+address[:1], secret, "email", address)
	must(t, h.Bind(t.Context(), userID, threepid.Credentials{
		SID: "sid-" + address[:1], ClientSecret: secret, IDServer: h.identity.Name, IDAccessToken: threepidtest.AccessToken,
	}))
	if got := h.identity.Bound("email", address); got != userID {
		t.Fatalf("%s is bound to %q", address, got)
	}
}

func TestBindAndUnbind(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	alice := h.user(t, "alice")
	h.bind(t, alice, "a@example.org")
	asked := h.identity.Requests()[0]
	if string(asked.Body) != `{"client_secret":"d0nt-T3ll","mxid":"@alice:test.example","sid":"sid-a"}` {
		t.Errorf("the identity server was asked %s", asked.Body)
	}

	got, err := h.Unbind(t.Context(), alice, threepid.Removal{Medium: "email", Address: "A@example.org"})
	if err != nil || got != "success" || h.identity.Bound("email", "a@example.org") != "" {
		t.Fatalf("got %s, %v", got, err)
	}
	wantSigned(t, h, h.identity.Requests()[1])
	got, err = h.Unbind(t.Context(), alice, threepid.Removal{Medium: "email", Address: "a@example.org"})
	if err != nil || got != "no-support" {
		t.Errorf("again: got %s, %v: nobody knows where", got, err)
	}
	got, err = h.Unbind(t.Context(), alice, threepid.Removal{Medium: "email", Address: "a@example.org", IDServer: h.identity.URL + "/"})
	if err != nil || got != "success" {
		t.Errorf("named: got %s, %v", got, err)
	}
}

var xMatrix = regexp.MustCompile(`^X-Matrix origin="([^"]*)",destination="([^"]*)",key="([^"]*)",sig="([^"]*)"$`)

// wantSigned checks that an identity server could verify who asks.
func wantSigned(t *testing.T, h *env, asked threepidtest.IdentityRequest) {
	t.Helper()
	header := xMatrix.FindStringSubmatch(asked.Authorization)
	if header == nil || header[1] != server || header[2] != h.identity.Name || header[3] != "ed25519:1" {
		t.Fatalf("got the header %s", asked.Authorization)
	}
	signed := fmt.Sprintf(`{"method":"POST","uri":%q,"origin":%q,"destination":%q,"content":%s,"signatures":{%q:{%q:%q}}}`,
		asked.Path, header[1], header[2], asked.Body, header[1], header[3], header[4])
	must(t, event.VerifyJSON([]byte(signed), server, "ed25519:1", signer.Key.Public().(ed25519.PublicKey)))
}

func TestDelete(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	alice, bob := h.user(t, "alice"), h.user(t, "bob")
	h.give(t, alice, "a@example.org")
	h.give(t, alice, "b@example.org")
	h.bind(t, alice, "b@example.org")
	h.give(t, alice, "c@example.org")
	h.bind(t, alice, "c@example.org")
	remove := func(userID, address, named string) string {
		got, err := h.Delete(t.Context(), userID, threepid.Removal{Medium: "email", Address: address, IDServer: named})
		must(t, err)
		return got
	}
	if got := remove(bob, "a@example.org", ""); got != "no-support" {
		t.Errorf("of another: got %s", got)
	}
	if list, err := h.List(t.Context(), alice); err != nil || len(list) != 3 {
		t.Errorf("got %v, %v", list, err)
	}
	if got := remove(alice, "A@Example.org", ""); got != "no-support" {
		t.Errorf("never bound: got %s", got)
	}
	if got := remove(alice, "b@example.org", ""); got != "success" || h.identity.Bound("email", "b@example.org") != "" {
		t.Errorf("bound: got %s", got)
	}
	h.identity.Answer(403, `{"errcode":"M_FORBIDDEN","error":"no"}`)
	if got := remove(alice, "c@example.org", ""); got != "no-support" {
		t.Errorf("refused: got %s", got)
	}
	if list, err := h.List(t.Context(), alice); err != nil || len(list) != 0 {
		t.Errorf("got %v, %v: what the identity server says must not matter", list, err)
	}
	for _, r := range []threepid.Removal{{Medium: "email"}, {Address: "a@example.org"}} {
		_, err := h.Delete(t.Context(), alice, r)
		matrixtest.WantCode(t, err, matrix.MissingParam)
		_, err = h.Unbind(t.Context(), alice, r)
		matrixtest.WantCode(t, err, matrix.MissingParam)
	}
	_, err := h.Delete(t.Context(), alice, threepid.Removal{Medium: "pigeon", Address: "a"})
	matrixtest.WantCode(t, err, matrix.InvalidParam)
}

func TestAnswersOfTheIdentityServerAreGivenOn(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	alice := h.user(t, "alice")
	bind := threepid.Credentials{SID: "x", ClientSecret: secret, IDServer: h.identity.Name, IDAccessToken: threepidtest.AccessToken}
	for _, test := range []struct {
		status int
		body   string
		code   matrix.Code
		want   int
		unbind string // id_server_unbind_result; "" for the same error
	}{
		{403, `{"errcode":"M_TERMS_NOT_SIGNED","error":"sign"}`, "M_TERMS_NOT_SIGNED", 403, ""},
		{400, `{"errcode":"M_SESSION_NOT_VALIDATED","error":"wait"}`, "M_SESSION_NOT_VALIDATED", 400, ""},
		{401, `{"errcode":"M_UNAUTHORIZED","error":"who"}`, matrix.ThreepidAuthFailed, 403, ""},
		{401, `{"errcode":"M_UNKNOWN_TOKEN","error":"who"}`, matrix.ThreepidAuthFailed, 403, ""},
		{403, `{"errcode":"M_UNKNOWN_TOKEN","error":"log out!"}`, matrix.ThreepidAuthFailed, 403, ""},
		{404, `{"errcode":"M_UNRECOGNIZED","error":"what"}`, matrix.Unrecognized, 404, "no-support"},
		{404, `not found`, matrix.Unrecognized, 404, "no-support"},
		{400, `what`, matrix.Unrecognized, 404, "no-support"},
		{501, ``, matrix.Unrecognized, 404, "no-support"},
		{500, `{"errcode":"M_UNKNOWN","error":"oops"}`, matrix.Unknown, 502, ""},
		{302, ``, matrix.Unknown, 502, ""},
	} {
		h.identity.Answer(test.status, test.body)
		e := matrixtest.WantCode(t, h.Bind(t.Context(), alice, bind), test.code)
		if e.HTTPStatus() != test.want || e.Message == "" {
			t.Errorf("bind, %d %s: got %d %s", test.status, test.body, e.HTTPStatus(), e.Message)
		}
		got, err := h.Unbind(t.Context(), alice, threepid.Removal{Medium: "email", Address: "a@example.org", IDServer: h.identity.Name})
		if test.unbind == "" {
			matrixtest.WantCode(t, err, test.code)
		} else if err != nil || got != test.unbind {
			t.Errorf("unbind, %d %s: got %s, %v", test.status, test.body, got, err)
		}
	}
	for _, nonsense := range []string{`{}`, `[]`, `{"medium":"email"}`, `{"medium":"email","address":"none"}`} {
		h.identity.Answer(200, nonsense)
		if e := matrixtest.WantCode(t, h.Bind(t.Context(), alice, bind), matrix.Unknown); e.HTTPStatus() != 502 {
			t.Errorf("%s: got %d", nonsense, e.HTTPStatus())
		}
	}
}

func TestBindRefusals(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	whole := threepid.Credentials{SID: "x", ClientSecret: secret, IDServer: h.identity.Name, IDAccessToken: "y"}
	for name, test := range map[string]struct {
		change func(*threepid.Credentials)
		want   matrix.Code
	}{
		"no sid":       {func(c *threepid.Credentials) { c.SID = "" }, matrix.MissingParam},
		"no secret":    {func(c *threepid.Credentials) { c.ClientSecret = "" }, matrix.MissingParam},
		"no server":    {func(c *threepid.Credentials) { c.IDServer = "" }, matrix.MissingParam},
		"no token":     {func(c *threepid.Credentials) { c.IDAccessToken = "" }, matrix.MissingParam},
		"path":         {func(c *threepid.Credentials) { c.IDServer = "id.example/evil" }, matrix.InvalidParam},
		"user":         {func(c *threepid.Credentials) { c.IDServer = "u@id.example" }, matrix.InvalidParam},
		"not trusted":  {func(c *threepid.Credentials) { c.IDServer = "id.example" }, matrix.ServerNotTrusted},
		"odd token":    {func(c *threepid.Credentials) { c.IDAccessToken = "a\r\nb" }, matrix.Unknown},
		"wrong token":  {func(*threepid.Credentials) {}, matrix.ThreepidAuthFailed},
		"with trailer": {func(c *threepid.Credentials) { c.IDServer = "https://" + strings.ToUpper(h.identity.Name) + "/" }, matrix.ThreepidAuthFailed},
	} {
		c := whole
		test.change(&c)
		if err := h.Bind(t.Context(), "@alice:test.example", c); !matrix.IsCode(err, test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
}

func TestPrivateIdentityServersAreNotReached(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *threepid.Options) { o.IdentityServers, o.Outgoing = nil, safehttp.New(safehttp.Options{}) })
	for _, name := range []string{h.identity.Name, "localhost:1", "[::1]:1", "169.254.169.254"} {
		err := h.Bind(t.Context(), "@alice:test.example", threepid.Credentials{
			SID: "x", ClientSecret: secret, IDServer: name, IDAccessToken: threepidtest.AccessToken,
		})
		if e := matrixtest.WantCode(t, err, matrix.Unknown); e.HTTPStatus() != 502 {
			t.Errorf("%s: got %d", name, e.HTTPStatus())
		}
	}
	if n := len(h.identity.Requests()); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestRemoveAllAndUnbindAll(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	alice, bob := h.user(t, "alice"), h.user(t, "bob")
	h.give(t, alice, "a@example.org")
	h.bind(t, alice, "a@example.org")
	h.bind(t, alice, "b@example.org")
	h.give(t, bob, "c@example.org")
	removeAll := func(userID string) (bound []threepid.Binding) {
		must(t, pgx.BeginFunc(t.Context(), h.pool, func(tx pgx.Tx) (err error) {
			bound, err = h.RemoveAll(t.Context(), tx, userID)
			return err
		}))
		return bound
	}

	bound := removeAll(alice)
	if list, err := h.List(t.Context(), alice); err != nil || len(list) != 0 || len(bound) != 2 {
		t.Fatalf("got %v, %v, bound %v", list, err, bound)
	}
	if got := h.UnbindAll(t.Context(), alice, bound, ""); got != "success" {
		t.Errorf("got %s", got)
	}
	if h.identity.Bound("email", "a@example.org")+h.identity.Bound("email", "b@example.org") != "" {
		t.Error("something is still bound")
	}
	if got := h.UnbindAll(t.Context(), bob, removeAll(bob), "untrusted.example"); got != "success" {
		t.Errorf("nothing bound: got %s", got)
	}
	if got := h.UnbindAll(t.Context(), alice, bound, "untrusted.example"); got != "no-support" {
		t.Errorf("at a server that is not trusted: got %s", got)
	}
	if got := h.UnbindAll(t.Context(), alice, bound, h.identity.Name); got != "success" {
		t.Errorf("at a named server: got %s", got)
	}
	h.identity.Answer(500, "")
	if got := h.UnbindAll(t.Context(), alice, bound, ""); got != "no-support" {
		t.Errorf("of a broken server: got %s", got)
	}
}

func TestBindingsOfAUserAreBounded(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	alice := h.user(t, "alice")
	_, err := h.pool.Exec(t.Context(), `
		INSERT INTO threepid_bindings (user_id, medium, address, id_server, bound_at)
		SELECT $1, 'email', n || '@example.org', 'old.example', n FROM generate_series(1, 100) n`, alice)
	must(t, err)
	h.bind(t, alice, "a@example.org")
	var n, oldest int
	must(t, h.pool.QueryRow(t.Context(), `SELECT count(*), min(bound_at) FROM threepid_bindings`).Scan(&n, &oldest))
	if n != 100 || oldest != 2 {
		t.Errorf("%d bindings are kept, the oldest is number %d", n, oldest)
	}
}
