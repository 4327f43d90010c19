package pages_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestLoginFallbackInABrowser(t *testing.T) {
	t.Parallel()
	c, b := startServer(t), openTab(t)
	register(c, "alice")
	b.open(c.BaseURL + loginPath + "?device_id=PHONE&initial_device_display_name=My%20phone&refresh_token=true")
	b.readable()
	// A web view may set the function at any time before the form is sent.
	eval[bool](b, "window.matrixLogin.onLogin = (response) => { window.taken = response; }, true")

	b.fill("#user", "alice")
	b.fill("#password", "wrong")
	b.click("#login button")
	b.waitForText("#error", "Invalid")
	if eval[bool](b, "'taken' in window") {
		t.Error("a login that failed was handed over")
	}
	b.readable()

	b.fill("#password", "wordpass")
	b.click("#login button")
	b.wait("window.taken")
	var response struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		UserID       string `json:"user_id"`
		DeviceID     string `json:"device_id"`
	}
	if err := json.Unmarshal([]byte(eval[string](b, "JSON.stringify(window.taken)")), &response); err != nil {
		t.Fatal(err)
	}
	if response.UserID != "@alice:localhost" || response.DeviceID != "PHONE" || response.RefreshToken == "" {
		t.Errorf("got %+v", response)
	}
	c.Token = response.AccessToken
	if got := c.Do(http.MethodGet, "/_matrix/client/v3/devices/PHONE", nil).OK().String("display_name"); got != "My phone" {
		t.Errorf("the device is called %q", got)
	}
	if strings.Contains(eval[string](b, "document.body.innerText"), response.AccessToken) {
		t.Error("the token is shown though an app has it")
	}
	b.waitForText("#result", "go back to your app")
	b.loggedIn()
	if text := eval[string](b, "document.body.innerText"); strings.Contains(text, "No app has taken") {
		t.Errorf("the page says two things: %s", text)
	}
}

// loggedIn fails the test unless the whole page says that the login is done, and the keyboard is there.
func (b *tab) loggedIn() {
	b.t.Helper()
	const all = "[document.title, document.querySelector('h1').innerText, document.activeElement.id, " +
		"document.querySelector('#about').checkVisibility(), document.querySelector('#login').checkVisibility()].join()"
	if got := eval[string](b, all); got != "Logged in,Logged in,result,false,false" {
		b.t.Errorf("title, heading, keyboard, introduction and form after the login: %s", got)
	}
	const gap = "(() => { const [a, b] = [...document.querySelectorAll('#result > *')].filter((e) => e.checkVisibility()); " +
		"return b.getBoundingClientRect().top - a.getBoundingClientRect().bottom })()"
	if got := eval[float64](b, gap); got < 8 {
		b.t.Errorf("the text is %g pixels below the notice", got)
	}
}

func TestLoginFallbackWithoutAnApp(t *testing.T) {
	t.Parallel()
	c, b := startServer(t), openTab(t)
	register(c, "alice")
	b.open(c.BaseURL + "/_matrix/client/r0/login/fallback")
	b.fill("#user", "alice")
	b.fill("#password", "wordpass\r") // Enter sends the form
	b.waitForText("#who", "@alice:localhost")
	if eval[bool](b, "document.querySelector('#by-hand details').open") {
		t.Error("the token can be seen by a person who looks over the user's shoulder")
	}
	b.loggedIn()
	if text := eval[string](b, "document.body.innerText"); strings.Contains(text, "go back to your app") || !strings.Contains(text, "No app has taken this login over") {
		t.Errorf("the page says: %s", text)
	}
	b.click("#by-hand summary")
	b.wait("JSON.parse(document.querySelector('#response').innerText).access_token")
	b.readable()
}

func TestAuthFallbackInAWebView(t *testing.T) {
	t.Parallel()
	c, b := startServer(t), openTab(t)
	session, address := dummySession(c)
	b.open(c.BaseURL + address)
	b.readable()
	eval[bool](b, "window.calls = 0, window.onAuthDone = () => { window.calls += 1; }, true")
	b.click("#stage button")
	b.wait("window.calls === 1")
	b.waitForText("main", "This step is done")
	b.readable()
	c.Do(http.MethodPost, "/_matrix/client/v3/register", map[string]any{
		"username": "bob", "password": "wordpass", "auth": map[string]any{"session": session},
	}).OK()
}

// TestAuthFallbackInAPopup has a client of another site do what the specification's
// example does.
func TestAuthFallbackInAPopup(t *testing.T) {
	t.Parallel()
	c, b := startServer(t), openTab(t)
	alice := register(c, "alice")
	other := alice.Login("alice", "wordpass")
	session := alice.Do(http.MethodDelete, "/devices/"+other.DeviceID, map[string]any{}).String("session")
	address := c.BaseURL + "/_matrix/client/v3/auth/m.login.password/fallback/web?session=" + url.QueryEscape(session)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<link rel="icon" href="data:,"><button>Go on</button><script>
			addEventListener('message', (e) => { window.heard = e.data + ' from ' + e.origin; });
			document.querySelector('button').onclick = () => open('` + address + `');
		</script>`))
	}))
	t.Cleanup(app.Close)
	b.open(app.URL)
	popup := b.popup("button")
	popup.wait("document.querySelector('#stage')?.isConnected && document.readyState === 'complete'")
	popup.fill("#password", "wrong")
	popup.click("#stage button")
	popup.waitForText("main", "Invalid")
	popup.readable()
	popup.fill("#password", "wordpass")
	popup.click("#stage button")
	popup.waitForText("main", "This step is done")
	b.wait("window.heard")
	if got := eval[string](b, "window.heard"); got != "authDone from "+c.BaseURL {
		t.Errorf("the app heard %q", got)
	}
	alice.Do(http.MethodDelete, "/devices/"+other.DeviceID, map[string]any{"auth": map[string]any{"session": session}}).OK()
}
