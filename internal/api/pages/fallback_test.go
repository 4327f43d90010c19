package pages_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

const loginPath = "/_matrix/static/client/login/"

// submit sends a form like a browser without JavaScript.
func submit(c *matrixtest.Client, address string, form url.Values) *matrixtest.Response {
	c.T.Helper()
	request := c.Request(http.MethodPost, address, form.Encode())
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.Send(request)
}

func contains(t *testing.T, answer *matrixtest.Response, status int, texts ...string) {
	t.Helper()
	if answer.Status != status {
		t.Errorf("got status %d, want %d: %s", answer.Status, status, answer.Body)
	}
	if got := answer.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("got %s, want a page", got)
	}
	body := html.UnescapeString(string(answer.Body))
	for _, text := range texts {
		if !strings.Contains(body, text) {
			t.Errorf("%q is missing in %s", text, body)
		}
	}
}

func TestLoginFallbackWithoutJavaScript(t *testing.T) {
	t.Parallel()
	c := startServer(t)
	register(c, "alice")
	answer := submit(c, loginPath, url.Values{"user": {"alice"}, "password": {"wordpass"}, "device_id": {"PHONE"}})
	contains(t, answer, http.StatusOK, "You are logged in as", "@alice:localhost", "PHONE")
	if answer.Header.Get("Cache-Control") != "no-store" {
		t.Error("the page with the access token may be kept")
	}

	shown := regexp.MustCompile(`(?s)<details>.*<pre[^>]*>(.*)</pre>`).FindStringSubmatch(string(answer.Body))
	if shown == nil {
		t.Fatalf("no answer behind a closed part of %s", answer.Body)
	}
	var credentials struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(shown[1])), &credentials); err != nil {
		t.Fatal(err)
	}
	c.Token = credentials.AccessToken
	if got := c.Do(http.MethodGet, "/_matrix/client/v3/account/whoami", nil).OK().String("device_id"); got != "PHONE" {
		t.Errorf("the login is for the device %s", got)
	}
}

func TestLoginFallbackTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	c := startServer(t)
	register(c, "alice")
	wrong := url.Values{"user": {`alice"><b>`}, "password": {"wrong-word"}, "device_id": {"PHONE"}}
	answer := submit(c, loginPath, wrong)
	contains(t, answer, http.StatusForbidden, `name="user" value="alice"><b>"`, `name="device_id" value="PHONE"`, `role="alert"`)
	if strings.Contains(string(answer.Body), "<b>") {
		t.Errorf("what was typed became part of the page: %s", answer.Body)
	}
	if strings.Contains(string(answer.Body), "wrong-word") {
		t.Error("the page shows the password")
	}
	contains(t, submit(c, loginPath, nil), http.StatusBadRequest, "Log in", "missing")
	contains(t, c.Do(http.MethodPost, loginPath, "user=%zz"), http.StatusBadRequest, "as browsers send forms")
	contains(t, c.Do(http.MethodPost, loginPath, "user=%ff"), http.StatusBadRequest, "not valid UTF-8")
	contains(t, c.Do(http.MethodPost, loginPath, "user=a%00b&password=x"), http.StatusBadRequest, "not valid UTF-8")
}

func TestLoginFallbackForwardsParameters(t *testing.T) {
	t.Parallel()
	c := startServer(t)
	page := c.Do(http.MethodGet, loginPath+"?device_id=GHTYAJCE&initial_device_display_name=A%22B&refresh_token=true&password=secret&user=alice&token=t", nil)
	contains(t, page, http.StatusOK, `name="device_id" value="GHTYAJCE"`, `name="initial_device_display_name" value="A"B"`, `name="refresh_token" value="true"`)
	for _, credential := range []string{"secret", `name="token"`} {
		if strings.Contains(string(page.Body), credential) {
			t.Errorf("the page takes %s from its address", credential)
		}
	}

	register(c, "alice")
	answer := submit(c, loginPath, url.Values{"user": {"alice"}, "password": {"wordpass"}, "refresh_token": {"true"}})
	contains(t, answer, http.StatusOK, `"refresh_token": "`)
}

// dummySession begins a registration and returns its session, and the address of the fallback
// of its stage.
func dummySession(c *matrixtest.Client) (session, address string) {
	c.T.Helper()
	answer := c.Do(http.MethodPost, "/_matrix/client/v3/register", map[string]any{"username": "bob", "password": "wordpass"})
	session = answer.String("session")
	return session, "/_matrix/client/v3/auth/m.login.dummy/fallback/web?session=" + url.QueryEscape(session)
}

func TestAuthFallbackOfDummyWithoutJavaScript(t *testing.T) {
	t.Parallel()
	c := startServer(t)
	session, address := dummySession(c)
	goOn := map[string]any{"username": "bob", "password": "wordpass", "auth": map[string]any{"session": session}}

	contains(t, c.Do(http.MethodGet, address, nil), http.StatusOK, "<form", "Continue")
	if early := c.Do(http.MethodPost, "/_matrix/client/v3/register", goOn); early.Status != http.StatusUnauthorized {
		t.Errorf("registered before the stage was completed: %d", early.Status)
	}
	contains(t, submit(c, address, nil), http.StatusOK, `id="auth-done"`)
	contains(t, c.Do(http.MethodGet, strings.Replace(address, "/v3/", "/r0/", 1), nil), http.StatusOK, `id="auth-done"`)
	contains(t, submit(c, address, nil), http.StatusOK, `id="auth-done"`)
	if got := c.Do(http.MethodPost, "/_matrix/client/v3/register", goOn).OK().String("user_id"); got != "@bob:localhost" {
		t.Errorf("registered %s", got)
	}
	contains(t, c.Do(http.MethodGet, address, nil), http.StatusNotFound, "unknown or has expired")
}

func TestAuthFallbackOfPassword(t *testing.T) {
	t.Parallel()
	c := startServer(t)
	alice, bob := register(c, "alice"), register(c, "bob")
	other := alice.Login("alice", "wordpass")
	remove := matrixtest.Path("devices", other.DeviceID)
	session := alice.Do(http.MethodDelete, remove, map[string]any{}).String("session")
	address := "/_matrix/client/v3/auth/m.login.password/fallback/web?session=" + url.QueryEscape(session)

	contains(t, c.Do(http.MethodGet, address, nil), http.StatusOK, `value="@alice:localhost"`, "readonly", `type="password"`, `id="effect"`)
	contains(t, submit(c, address, url.Values{"user": {bob.UserID}, "password": {"wrong"}}), http.StatusForbidden, `role="alert"`, "@alice:localhost")
	contains(t, submit(c, address, url.Values{"password": {"wordpass"}}), http.StatusOK, `id="auth-done"`)
	alice.Do(http.MethodDelete, remove, map[string]any{"auth": map[string]any{"session": session}}).OK()
}

func TestAuthFallbackErrorsArePages(t *testing.T) {
	t.Parallel()
	c := startServer(t)
	session, dummy := dummySession(c)
	stage := func(name string) string {
		return "/_matrix/client/v3/auth/" + name + "/fallback/web?session=" + url.QueryEscape(session)
	}
	tests := map[string]int{
		strings.Split(dummy, "?")[0]:                    http.StatusBadRequest,
		strings.Split(dummy, "?")[0] + "?session=guess": http.StatusNotFound,
		stage("m.login.password"):                       http.StatusNotFound,
		stage("m.login.recaptcha"):                      http.StatusNotFound,
		stage("%3Cscript%3E"):                           http.StatusNotFound,
	}
	for address, status := range tests {
		contains(t, c.Do(http.MethodGet, address, nil), status, "That did not work", "Go back to your app")
		contains(t, submit(c, address, nil), status, "That did not work")
	}
	contains(t, c.Do(http.MethodPost, dummy, "a=%zz"), http.StatusBadRequest, "That did not work")
}
