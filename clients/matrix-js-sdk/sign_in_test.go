//go:build jssdk

package matrixjssdk

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"homeserver/testserver"
)

// person is a user in front of the page.
type person struct {
	*tab
	server *testserver.Server
}

// startPage starts a server, and opens the page in a browser.
func startPage(t *testing.T) person {
	t.Helper()
	t.Parallel()
	server := testserver.Start(t, testserver.User("alice", "wordpass"), testserver.User("bob", "wordpass"))
	p := person{openTab(t), server}
	p.open(servePage(t))
	return p
}

// begins goes from the page to the server.
func (p person) begins(button string) {
	p.t.Helper()
	p.fill("#homeserver", p.server.BaseURL)
	p.click(button)
}

// signsIn signs alice in, and returns her new device.
func (p person) signsIn() (deviceID string) {
	p.t.Helper()
	p.begins("#sign-in")
	p.fill("#user", "alice")
	p.fill("#password", "wordpass")
	p.click("#login button")
	p.waitForText("main", "@alice:localhost")
	p.click("#consent button[value=allow]")
	p.waitForText("#user", "@alice:localhost")
	p.waitForText("#status", "SYNCING")
	return p.text("#device")
}

// makesRoom makes a room of bob with a name, to which alice is invited.
func (p person) makesRoom(name string) (roomID string) {
	p.t.Helper()
	body := map[string]any{"name": name, "invite": []string{"@alice:localhost"}}
	return p.server.Call(p.server.User("bob"), "POST", "/createRoom", body)["room_id"].(string)
}

func (p person) joins(roomID string) {
	p.t.Helper()
	p.server.Call(p.server.User("alice"), "POST", "/join/"+url.PathEscape(roomID), map[string]any{})
}

// sends sends a message of bob.
func (p person) sends(roomID, text string) {
	p.t.Helper()
	path := fmt.Sprintf("/rooms/%s/send/m.room.message/%d", url.PathEscape(roomID), time.Now().UnixNano())
	p.server.Call(p.server.User("bob"), "PUT", path, map[string]any{"msgtype": "m.text", "body": text})
}

func TestSignInAndFollowRooms(t *testing.T) {
	p := startPage(t)
	first, second := p.makesRoom("First"), p.makesRoom("Second")
	p.joins(first)
	p.joins(second)
	bob := p.server.User("bob")
	p.server.Call(bob, "PUT", "/profile/@bob:localhost/displayname", map[string]any{"displayname": "Bob"})
	p.server.Call(bob, "PUT", "/rooms/"+url.PathEscape(first)+"/state/m.room.name", map[string]any{"name": "The first"})
	p.sends(first, "zero")
	p.sends(first, "one")
	p.sends(second, "two")

	device := p.signsIn()
	p.waitForText("#rooms li:nth-child(1)", "Second: two")
	p.waitForText("#rooms li:nth-child(2)", "The first: one")

	// What happens comes by the poll that waits: another message, an invite.
	p.sends(first, "three")
	p.waitForText("#rooms li:nth-child(1)", "The first: three")
	third := p.makesRoom("Third")
	p.waitForText("#rooms li.invite", "Third")
	p.joins(third)
	p.wait("!document.querySelector('#rooms li.invite')")
	p.waitForText("#rooms li.join", "Third")

	// An open room is subscribed to.
	p.click("#rooms li:nth-child(2)")
	p.waitForText("#timeline", "Bob: zero")
	p.waitForText("#rooms li:nth-child(2)", "The first: three")
	if got, want := p.texts("#timeline li"), []string{"Bob: zero", "Bob: one", "Bob: three"}; !slices.Equal(got, want) {
		t.Errorf("the open room shows %q, want %q", got, want)
	}
	p.fill("#text", "an answer")
	p.click("#send")
	p.waitForText("#timeline", "@alice:localhost: an answer")
	p.waitForText("#rooms li:nth-child(1)", "The first: an answer")

	// The access token expires, and the page renews it.
	p.server.Advance(10 * time.Minute)
	p.sends(second, "four")
	p.waitForText("#renewed", "1")
	p.waitForText("#rooms li:nth-child(1)", "Second: four")
	p.sends(first, "five")
	p.waitForText("#rooms li:nth-child(1)", "The first: five")

	p.click("#sign-out")
	p.waitForText("#status", "signed out")
	if slices.Contains(p.devices(), device) {
		t.Errorf("the device %s is still there", device)
	}
	p.refusals(device)
}

// devices returns the IDs of alice's devices.
func (p person) devices() (ids []string) {
	p.t.Helper()
	for _, device := range p.server.Call(p.server.User("alice"), "GET", "/devices", nil)["devices"].([]any) {
		ids = append(ids, device.(map[string]any)["device_id"].(string))
	}
	return ids
}

// refusals fails the test for what the server has refused to the device, or to nobody, other than what a client expects: that there is no
// backup of keys, and that its access token has expired. (A poll that the page has cancelled counts as 503.)
func (p person) refusals(deviceID string) {
	p.t.Helper()
	expected := map[string]int{"/room_keys/version": http.StatusNotFound, "/sync": http.StatusUnauthorized}
	for _, r := range p.server.Requests(testserver.Filter{}) {
		refused := r.Status >= http.StatusBadRequest && r.Status < http.StatusInternalServerError
		if refused && r.Status != expected[r.Route] && (r.DeviceID == "" || r.DeviceID == deviceID) {
			p.t.Errorf("%s %s?%s: %d, was sent %s", r.Method, r.Path, r.Query, r.Status, r.Body)
		}
	}
}

func TestMakeAccountAndLoseSession(t *testing.T) {
	p := startPage(t)
	p.begins("#create")
	p.fill("#user", "carol")
	p.fill("#password", "a-long-wordpass")
	p.click("#register button")
	p.click("#consent button[value=allow]")
	p.waitForText("#user", "@carol:localhost")
	p.waitForText("#status", "SYNCING")

	login := map[string]any{"type": "m.login.password", "identifier": map[string]any{"type": "m.id.user", "user": "carol"}, "password": "a-long-wordpass"}
	token := p.server.Call(testserver.Account{}, "POST", "/login", login)["access_token"].(string)
	p.server.Call(testserver.Account{AccessToken: token}, "POST", "/logout/all", map[string]any{})
	p.waitForText("#status", "the server has ended the session")
}

func TestRefuseConsent(t *testing.T) {
	p := startPage(t)
	p.begins("#sign-in")
	p.fill("#user", "alice")
	p.fill("#password", "wordpass")
	p.click("#login button")
	p.click("#consent button[value=deny]")
	p.waitForText("#status", "failed: access_denied")
	if devices := p.devices(); len(devices) != 1 || strings.Contains(p.text("#user"), "alice") {
		t.Errorf("alice has the devices %q", devices)
	}
}
