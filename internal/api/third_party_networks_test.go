package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"homeserver/internal/matrixtest"
)

// ircNetworks is what the first service of these tests says of its network.
const ircNetworks = `{"user_fields":["network","nickname"],"location_fields":["network","channel"],"icon":"mxc://localhost/irc",
	"field_types":{"network":{"regexp":".*","placeholder":"irc.example.org"}},"org.example.more":[1.5],
	"instances":[{"network_id":"libera","desc":"Libera","fields":{"network":"libera.chat"}},{"desc":"without an ID","fields":{}}]}`

// withNetworks returns registrations of two services that both have IRC, and one of them Slack.
func withNetworks(t testing.TB) (irc, slack *bridge, files []string) {
	t.Helper()
	irc, slack = newBridge(t, "irc"), newBridge(t, "slack")
	return irc, slack, []string{irc.at(ircFile) + "\nprotocols: [irc]\n", slack.at(slackFile) + "\nprotocols: [irc, slack, mute]\n"}
}

// says has a service answer each path with a body of its own, and others with 404.
func (b *bridge) says(answers map[string]string) {
	b.answers(func(w http.ResponseWriter, r *http.Request) {
		body, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			body = `{"errcode":"M_NOT_FOUND"}`
		}
		_, _ = io.WriteString(w, body)
	})
}

const networkPath = "/_matrix/app/v1/thirdparty/"

func TestNetworksAreDescribed(t *testing.T) {
	t.Parallel()
	irc, slack, files := withNetworks(t)
	c := newServerWith(t, files...)
	alice := c.Register("alice", "wordpass")
	irc.says(map[string]string{networkPath + "protocol/irc": ircNetworks})
	slack.says(map[string]string{
		networkPath + "protocol/irc":   `{"icon":"mxc://localhost/other","instances":[{"network_id":"oftc","desc":"OFTC","instance_id":"theirs"}]}`,
		networkPath + "protocol/slack": `{"user_fields":[]}`,
	})
	for _, prefix := range []string{"/_matrix/client/v3", "/_matrix/client/r0", "/_matrix/client/unstable"} {
		all := alice.Do("GET", prefix+"/thirdparty/protocols", nil).OK()
		if all.At("irc", "icon") != "mxc://localhost/irc" || all.At("irc", "org.example.more", 0) != 1.5 || all.At("mute") != nil {
			t.Errorf("got %s", all.Body)
		}
		var ids []string
		for _, one := range all.At("irc", "instances").([]any) {
			ids = append(ids, fmt.Sprint(one.(map[string]any)["instance_id"]))
		}
		if !slices.Equal(ids, []string{"irc|libera", "slack|oftc"}) || all.At("irc", "instances", 0, "fields", "network") != "libera.chat" {
			t.Errorf("got %s", all.Body)
		}
		if got, ok := all.At("slack", "instances").([]any); !ok || len(got) != 0 {
			t.Errorf("got %s", all.Body)
		}
	}
	if got := alice.Do("GET", "/thirdparty/protocol/irc", nil).OK().At("user_fields", 1); got != "nickname" {
		t.Errorf("got %v", got)
	}
	alice.Do("GET", "/thirdparty/protocol/mute", nil).Refused(404, "M_NOT_FOUND")
	alice.Do("GET", "/thirdparty/protocol/none", nil).Refused(404, "M_NOT_FOUND")
	c.Do("GET", "/thirdparty/protocols", nil).Refused(401, "M_MISSING_TOKEN")
	if n := len(irc.taken()) + len(slack.taken()); n != 4 {
		t.Errorf("services were asked %d times, although nothing has become old", n)
	}
}

func TestWithoutNetworksThereIsNothing(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	for path, want := range map[string]string{
		"/thirdparty/protocols": "{}", "/thirdparty/location/irc?channel=x": "[]", "/thirdparty/user/irc": "[]",
		"/thirdparty/location?alias=%23a:localhost": "[]", "/thirdparty/user?userid=@a:localhost": "[]",
	} {
		if got := strings.TrimSpace(string(alice.Do("GET", path, nil).OK().Body)); got != want {
			t.Errorf("%s: got %s", path, got)
		}
	}
	alice.Do("GET", "/thirdparty/protocol/irc", nil).Refused(404, "M_NOT_FOUND")
	for _, path := range []string{"/thirdparty/location", "/thirdparty/user"} {
		alice.Do("GET", path, nil).Refused(400, "M_MISSING_PARAM")
		alice.Do("GET", path+"?alias=x&userid=x", nil).Refused(400, "M_INVALID_PARAM")
	}
}

func TestPlacesAndPeopleAreFound(t *testing.T) {
	t.Parallel()
	irc, slack, files := withNetworks(t)
	c := newServerWith(t, files...)
	alice := c.Register("alice", "wordpass")
	const place = `{"alias":"#irc_a:localhost","protocol":"irc","fields":{"channel":"#a"},"more":1}`
	const person = `{"userid":"@irc_a:localhost","protocol":"irc","fields":{}}`
	irc.says(map[string]string{
		networkPath + "location/irc": "[" + place + `,{"alias":"#x:localhost"},3,null,{"protocol":"irc","fields":{}}]`,
		networkPath + "user/irc":     "[" + person + "," + place + "]",
		networkPath + "location":     "[" + place + "]",
		networkPath + "user":         "[" + person + "]",
	})
	slack.says(map[string]string{
		networkPath + "location/irc": `[{"alias":"#slack_a:localhost","protocol":"irc","fields":{}}]`,
		networkPath + "user/irc":     `{"no":"list"}`,
	})
	list := func(path string) (texts []string) {
		var raw []json.RawMessage
		alice.Do("GET", path, nil).OK().Into(&raw)
		for _, one := range raw {
			texts = append(texts, string(one))
		}
		slices.Sort(texts)
		return texts
	}
	want := []string{place, `{"alias":"#slack_a:localhost","protocol":"irc","fields":{}}`}
	if got := list("/thirdparty/location/irc?channel=%23a&network=b&access_token=x"); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := irc.taken(); !slices.Equal(got, []string{"GET " + networkPath + "location/irc?channel=%23a&network=b"}) {
		t.Errorf("got %q", got)
	}
	for path, want := range map[string]string{
		"/thirdparty/user/irc": person, "/thirdparty/location?alias=%23irc_a:localhost": place, "/thirdparty/user?userid=@irc_a:localhost": person,
	} {
		if got := list(path); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q", path, got)
		}
	}
	if got := list("/thirdparty/location/slack"); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

func TestAServiceThatHangsIsLeftOutOfLookUps(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	irc, slack, files := withNetworks(t)
	c := newServerPatient(t, 300*time.Millisecond, files...)
	alice := c.Register("alice", "wordpass")
	irc.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	slack.says(map[string]string{
		networkPath + "protocol/irc": ircNetworks, networkPath + "user/irc": `[{"userid":"@slack_a:localhost","protocol":"irc","fields":{}}]`,
	})
	if got := alice.Do("GET", "/thirdparty/protocols", nil).OK().At("irc", "instances", 0, "instance_id"); got != "slack|libera" {
		t.Errorf("got %v", got)
	}
	if got := alice.Do("GET", "/thirdparty/user/irc", nil).OK(); strings.Count(string(got.Body), "userid") != 1 {
		t.Errorf("got %s", got.Body)
	}
	slack.always(200, `[`+strings.Repeat(`{"userid":"@a:localhost","protocol":"irc","fields":{}},`, 2000)+`{}]`)
	if got := strings.TrimSpace(string(alice.Do("GET", "/thirdparty/user/irc", nil).OK().Body)); got != "[]" {
		t.Errorf("a huge answer was read: %d bytes", len(got))
	}
}

func TestDirectoriesOfNetworks(t *testing.T) {
	t.Parallel()
	c := newServerWith(t, ircFile, slackFile)
	irc, slack, alice := asService(c, "irc-as-token"), asService(c, "slack-as-token"), c.Register("alice", "wordpass")
	carl := ghost(irc, "irc_carl")
	bridged := irc.Do("POST", as("/createRoom", carl), `{"name":"Bridged"}`).OK().String("room_id")
	listed := alice.Do("POST", "/createRoom", `{"name":"Listed","visibility":"public"}`).OK().String("room_id")
	path := func(network, room string) string {
		return matrixtest.Path("directory", "list", "appservice", network, room)
	}
	set := func(visibility string) any { return map[string]string{"visibility": visibility} }
	irc.Do("PUT", as(path("libera", bridged), carl), set("public")).OK()
	irc.Do("PUT", as(path("libera", bridged), carl), set("public")).OK()

	rooms := func(query string) (ids []string) {
		page := alice.Do("POST", "/publicRooms", query).OK()
		for _, one := range page.At("chunk").([]any) {
			ids = append(ids, one.(map[string]any)["room_id"].(string))
		}
		slices.Sort(ids)
		if total := page.At("total_room_count_estimate"); total != float64(len(ids)) {
			t.Errorf("%s: %v rooms, and the page has %d", query, total, len(ids))
		}
		return ids
	}
	both := []string{bridged, listed}
	slices.Sort(both)
	check := func(query string, want ...string) {
		t.Helper()
		if got := rooms(query); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	check(`{}`, listed)
	check(`{"third_party_instance_id":"irc|libera"}`, bridged)
	check(`{"third_party_instance_id":"irc|libera","filter":{"generic_search_term":"BRIDGED"}}`, bridged)
	check(`{"third_party_instance_id":"irc|libera","filter":{"generic_search_term":"listed"}}`)
	check(`{"third_party_instance_id":"irc|oftc"}`)
	check(`{"third_party_instance_id":"slack|libera"}`)
	check(`{"third_party_instance_id":"nonsense"}`)
	check(`{"include_all_networks":true}`, both...)
	alice.Do("POST", "/publicRooms", `{"third_party_instance_id":"irc|libera","include_all_networks":true}`).Refused(400, "M_INVALID_PARAM")

	alice.Do("PUT", path("libera", listed), set("public")).Refused(403, "M_FORBIDDEN")
	slack.Do("PUT", path("libera", bridged), set("public")).Refused(403, "M_FORBIDDEN") // is not in the room
	irc.Do("PUT", as(path("libera", "!none:localhost"), carl), set("public")).Refused(404, "M_NOT_FOUND")
	irc.Do("PUT", as(path("libera", "none"), carl), set("public")).Refused(404, "M_NOT_FOUND")
	irc.Do("PUT", as(path(strings.Repeat("x", 256), bridged), carl), set("public")).Refused(400, "M_INVALID_PARAM")
	irc.Do("PUT", as(path("libera", bridged), carl), set("secret")).Refused(400, "M_INVALID_PARAM")
	irc.Do("PUT", as(path("libera", bridged), carl), `{}`).Refused(400, "M_MISSING_PARAM")
	irc.Do("PUT", as(path("libera", bridged), carl), `{"visibility":3}`).Refused(400, "M_BAD_JSON")
	irc.Do("PUT", as(path("libera", bridged), carl), set("private")).OK()
	check(`{"include_all_networks":true}`, listed)
}
