package api

import (
	"slices"
	"testing"

	"homeserver/internal/matrixtest"
)

// listListener is a client that hears of device lists by /sync.
type listListener struct {
	*matrixtest.Client
	since string
}

func listens(c *matrixtest.Client) *listListener {
	c.T.Helper()
	return &listListener{c, c.Do("GET", "/sync", nil).OK().String("next_batch")}
}

// deviceLists are those of an answer to /sync.
type deviceLists struct {
	Lists struct{ Changed, Left []string } `json:"device_lists"`
}

// hears checks whose device lists are named since the last time, by /sync and by keys/changes.
func (l *listListener) hears(what string, changed, left []string) {
	l.T.Helper()
	answer := l.Do("GET", "/sync?since="+l.since, nil).OK()
	var got, again deviceLists
	answer.Into(&got)
	now := answer.String("next_batch")
	l.Do("GET", "/keys/changes?from="+l.since+"&to="+now, nil).OK().Into(&again.Lists)
	l.since = now
	for name, lists := range map[string]deviceLists{"/sync": got, "keys/changes": again} {
		if !slices.Equal(lists.Lists.Changed, changed) || !slices.Equal(lists.Lists.Left, left) {
			l.T.Errorf("%s: %s has changed %q and left %q, want %q and %q",
				what, name, lists.Lists.Changed, lists.Lists.Left, changed, left)
		}
	}
}

func TestDeviceListsOfUsersWhoShareARoom(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice, bob := c.Register("alice", "wordpass"), c.Register("bob", "wordpass")
	room := alice.CreateRoom(`{"preset":"public_chat"}`)
	bob.Do("POST", matrixtest.Path("join", room), `{}`).OK()
	l := listens(bob)
	all := []string{alice.UserID}
	l.hears("nothing", nil, nil)

	phone := newCrypto(alice)
	identity := phone.identity()
	phone.upload(map[string]any{"device_keys": identity}).OK()
	l.hears("new keys", all, nil)
	phone.upload(map[string]any{"device_keys": identity, "one_time_keys": phone.oneTime(2)}).OK()
	l.hears("the same keys, and one-time keys", nil, nil)
	alice.Do("PUT", matrixtest.Path("devices", alice.DeviceID), `{"display_name":"Phone"}`).OK()
	l.hears("another name", all, nil)
	alice.Do("PUT", matrixtest.Path("devices", alice.DeviceID), `{"display_name":"Phone"}`).OK()
	l.hears("the same name", nil, nil)

	plain := c.Login("alice", "wordpass")
	plain.Do("PUT", matrixtest.Path("devices", plain.DeviceID), `{"display_name":"Script"}`).OK()
	plain.Do("POST", "/logout", nil).OK()
	l.hears("a device without keys comes and goes", nil, nil)

	encrypting(c.Login("alice", "wordpass")).Do("POST", "/logout", nil).OK()
	l.hears("a logout", all, nil)
	tablet := encrypting(c.Login("alice", "wordpass"))
	l.hears("a device", all, nil)
	alice.Do("DELETE", matrixtest.Path("devices", tablet.DeviceID), map[string]any{"auth": passwordOf("alice", "wordpass")}).OK()
	l.hears("its deletion", all, nil)
	encrypting(c.Login("alice", "wordpass"))
	l.hears("another one", all, nil)
	alice.Do("POST", "/account/password", map[string]any{"new_password": "another one", "auth": passwordOf("alice", "wordpass")}).OK()
	l.hears("another password", all, nil)
	alice.Do("POST", "/account/deactivate", map[string]any{"auth": passwordOf("alice", "another one")}).OK()
	l.hears("the end of the account", nil, all)
}

func TestKeyChangesInEachGeneration(t *testing.T) {
	t.Parallel()
	c := newServer(t)
	alice := c.Register("alice", "wordpass")
	from := alice.Do("GET", "/sync", nil).OK().String("next_batch")
	encrypting(alice)
	to := alice.Do("GET", "/sync", nil).OK().String("next_batch")
	for _, prefix := range []string{"/_matrix/client/v3", "/_matrix/client/r0", prefixV2Alpha, "/_matrix/client/unstable"} {
		old := *alice
		old.Prefix = prefix
		var got struct{ Changed, Left []string }
		old.Do("GET", "/keys/changes?from="+from+"&to="+to, nil).OK().Into(&got)
		if !slices.Equal(got.Changed, []string{alice.UserID}) || got.Left == nil || len(got.Left) > 0 {
			t.Errorf("%s: %+v", prefix, got)
		}
		for query, code := range map[string]string{
			"": "M_MISSING_PARAM", "?from=" + from: "M_MISSING_PARAM", "?to=" + to: "M_MISSING_PARAM",
			"?from=x&to=" + to: "M_INVALID_PARAM", "?from=" + from + "&to=s9999999": "M_INVALID_PARAM", "?from=" + to + "&to=" + from: "M_INVALID_PARAM",
		} {
			old.Do("GET", "/keys/changes"+query, nil).Refused(400, code)
		}
	}
	var old deviceLists
	v2 := *alice
	v2.Prefix = prefixV2Alpha
	v2.Do("GET", "/sync?since="+from, nil).OK().Into(&old)
	if !slices.Equal(old.Lists.Changed, []string{alice.UserID}) {
		t.Errorf("in v2_alpha: %+v", old)
	}
}
