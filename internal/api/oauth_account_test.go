package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"homeserver/internal/auth"
	"homeserver/internal/matrixtest"
)

// has fails the test unless the page has the text.
func (p page) has(text string) page {
	p.a.T.Helper()
	if !strings.Contains(p.body, text) {
		p.a.T.Errorf("%s (%d) has no %q: %s", p.at, p.status, text, p.body)
	}
	return p
}

func TestAnAccountIsMadeOnTheWayToAnApp(t *testing.T) {
	t.Parallel()
	a := newApp(newServer(t))

	form := a.opens(a.request("prompt", "create", "login_hint", "newcomer")).has("Make an account").has(`value="newcomer"`)
	if again := form.submits("user", "Not a name", "password", "wordpass"); again.status != http.StatusBadRequest {
		t.Errorf("got %d", again.status)
	}
	answer := form.submits("user", "newcomer", "password", "wordpass").has("Allow").submits("decision", "allow").answer()
	if in := a.in(a.exchanges(answer.Get("code"))); in.UserID != "@newcomer:localhost" {
		t.Errorf("the app is signed in as %s", in.UserID)
	}
	if taken := form.submits("user", "newcomer", "password", "wordpass"); taken.status == http.StatusOK {
		t.Error("the name was given twice")
	}
}

func TestAppsThatSignedInByOAuthLeaveTheAccountToItsPage(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("alice", "wordpass")
	a := newApp(c)
	in := a.in(a.signsIn("alice", "wordpass"))
	auth := passwordOf(in.UserID, "wordpass")
	for path, body := range map[string]map[string]any{
		"POST /account/password":                  {"new_password": "another", "auth": auth},
		"POST /account/deactivate":                {"auth": auth},
		"DELETE /devices/APPDEVICE1":              {"auth": auth},
		"POST /delete_devices":                    {"devices": []string{"APPDEVICE1"}, "auth": auth},
		"POST /_matrix/client/v1/login/get_token": {"auth": auth},
	} {
		method, path, _ := strings.Cut(path, " ")
		in.Do(method, path, body).Refused(404, "M_UNRECOGNIZED")
	}
	capabilities := in.Do("GET", "/capabilities", nil).OK()
	for _, name := range []string{"m.change_password", "m.3pid_changes", "m.get_login_token"} {
		if capabilities.At("capabilities", name, "enabled") != false {
			t.Errorf("%s is offered: %s", name, capabilities.Body)
		}
	}
}

func TestNewKeysAreApprovedOnThePageOfTheAccount(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	c.Register("alice", "wordpass")
	a := newApp(c)
	in := a.in(a.signsIn("alice", "wordpass"))
	first := newCrossSigning(in)
	first.upload(first.all()).OK() // the first keys need nothing

	next := newCrossSigning(in)
	body := next.all()
	challenge := next.upload(body)
	if challenge.Status != 401 || challenge.String("flows", 0, "stages", 0) != "m.oauth" || challenge.String("flows", 1, "stages", 0) != "org.matrix.cross_signing_reset" {
		t.Fatalf("got %d %s", challenge.Status, challenge.Body)
	}
	address := challenge.String("params", "m.oauth", "url")
	body["auth"] = map[string]any{"session": challenge.String("session")}
	for _, auth := range []map[string]any{
		{"session": challenge.String("session")}, {"session": challenge.String("session"), "type": "m.oauth"},
		{"session": challenge.String("session"), "type": "org.matrix.cross_signing_reset"}, passwordOf(in.UserID, "wordpass"),
	} {
		body["auth"] = auth
		if refused := next.upload(body); refused.Status != 401 {
			t.Errorf("%v: got %d %s", auth, refused.Status, refused.Body)
		}
	}
	body["auth"] = map[string]any{"session": challenge.String("session")}

	a.opens(strings.TrimPrefix(address, "http://localhost:8008")).has("Reset your digital identity").submits().has("Go back to your app")

	next.upload(body).OK()
	another := newCrossSigning(in)
	if again := another.upload(another.all()); again.Status != 401 {
		t.Errorf("the approval was good twice: %d %s", again.Status, again.Body)
	}
}

func TestThePageOfAnAccount(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	bob := c.Register("bob", "wordpass")
	a := newApp(c)
	in := a.in(a.signsIn("alice", "wordpass"))
	const account = "/_matrix/oauth/account"

	a.opens(account).has("@alice:localhost")
	a.opens(account+"?action=org.matrix.profile").submits("displayname", "Alice of Wonderland").has("Your name is changed")
	if got := in.Do("GET", "/profile/"+alice.UserID+"/displayname", nil).OK().String("displayname"); got != "Alice of Wonderland" {
		t.Errorf("the name is %q", got)
	}
	if long := a.opens(account+"?action=org.matrix.profile").submits("displayname", strings.Repeat("x", 10_000)); long.status != http.StatusBadRequest {
		t.Errorf("got %d", long.status)
	}

	for _, action := range []string{"org.matrix.devices_list", "org.matrix.sessions_list"} {
		a.opens(account + "?action=" + action).has("Example").has(alice.DeviceID)
	}
	for _, action := range []string{"org.matrix.device_view", "org.matrix.session_view", "org.matrix.device_delete", "org.matrix.session_end"} {
		a.opens(account + "?action=" + action + "&device_id=" + alice.DeviceID).has("Device <strong>" + alice.DeviceID)
	}
	a.opens(account + "?action=org.matrix.device_view&device_id=" + bob.DeviceID).has("There is no such device")
	page := a.opens(account + "?action=org.matrix.device_delete&device_id=" + alice.DeviceID)
	page.submits("device_id", bob.DeviceID).has("signed out")
	bob.Do("GET", "/account/whoami", nil).OK()
	page.submits("device_id", alice.DeviceID).has("signed out")
	alice.Do("GET", "/account/whoami", nil).Refused(401, "M_UNKNOWN_TOKEN")

	form := a.opens(account + "?action=password")
	if wrong := form.submits("password", "wrong", "new_password", "another"); wrong.status != http.StatusForbidden {
		t.Errorf("got %d", wrong.status)
	}
	in.Do("GET", "/account/whoami", nil).OK()
	form.submits("password", "wordpass", "new_password", "another", "logout_devices", "true").has("Your password is changed")
	in.Do("GET", "/account/whoami", nil).Refused(401, "M_UNKNOWN_TOKEN")
	c.Login("alice", "another")

	form = a.opens(account + "?action=org.matrix.account_deactivate")
	if wrong := form.submits("password", "wordpass"); wrong.status != http.StatusForbidden {
		t.Errorf("got %d", wrong.status)
	}
	form.submits("password", "another").has("Your account is closed")
	c.Do("POST", "/login", passwordOf("alice", "another")).Refused(403, "M_USER_DEACTIVATED")
	a.opens(account).has("Sign in")
}

// A form is one of the page that the same browser was shown.
func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	a := newApp(c)
	a.opens("/_matrix/oauth/account").signs("alice", "wordpass").has("@alice:localhost")
	device := a.opens("/_matrix/oauth/account?action=org.matrix.device_delete&device_id=" + alice.DeviceID)
	consent := a.opens(a.request())
	for _, token := range []string{"", "forged"} {
		device.submits("device_id", alice.DeviceID, "form_token", token)
		alice.Do("GET", "/account/whoami", nil).OK()
		if consent.submits("decision", "allow", "form_token", token).location != "" {
			t.Error("an app got a code by a forged form")
		}
	}
	a.newBrowser()
	login := a.opens("/_matrix/oauth/login")
	if forged := login.submits("user", "alice", "password", "wordpass", "form_token", ""); forged.status != http.StatusForbidden {
		t.Errorf("got %d", forged.status)
	}
}

func TestThePageOfALockedOrSuspendedAccount(t *testing.T) {
	t.Parallel()
	anyone, admin, alice := moderated(t)
	a := newApp(anyone)
	in := a.in(a.signsIn("alice", "wordpass"))
	const name = "/_matrix/oauth/account?action=org.matrix.profile"

	admin.Do("PUT", suspendPath(alice.UserID), map[string]any{"suspended": true}).OK()
	if got := a.opens(name).submits("displayname", "Other"); got.status != http.StatusForbidden {
		t.Errorf("got %d", got.status)
	}
	consent := a.opens(a.request())
	admin.Do("PUT", lockPath(alice.UserID), map[string]any{"locked": true}).OK()
	a.opens(name).has("Sign in").submits("user", "alice", "password", "wordpass").has("locked")
	if got := consent.submits("decision", "allow"); got.location != "" {
		t.Error("an app got a code for a locked account")
	}
	isLocked(t, in.Do("GET", "/account/whoami", nil))
}

// Who signs in at a provider has no password that could be asked for.
func TestAnAccountWithoutAPasswordIsClosed(t *testing.T) {
	t.Parallel()
	opts := services(t)
	a := newApp(matrixtest.New(t, newAPI(t, opts).Handler()))
	userID, err := opts.Auth.CreateAccount(t.Context(), auth.NewAccount{Username: "employee"})
	if err != nil {
		t.Fatal(err)
	}
	cookie, err := opts.OAuth.SignInAs(t.Context(), userID)
	if err != nil {
		t.Fatal(err)
	}
	a.browser.Jar.SetCookies(&url.URL{Scheme: "http", Host: "localhost:8008"}, []*http.Cookie{{Name: "homeserver", Value: cookie, Path: "/"}})
	form := a.opens("/_matrix/oauth/account?action=org.matrix.account_deactivate")
	if strings.Contains(form.body, "Your password") {
		t.Errorf("a password is asked for: %s", form.body)
	}
	form.submits().has("Your account is closed")
}
