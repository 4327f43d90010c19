package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrixtest"
)

// What stands in this file sends nonsense to every endpoint, those to come
// included: they may refuse all of it, but in the form of the protocol, and never
// with a 5xx.

// oddParts are parts of paths that some parser may stumble over.
var oddParts = []string{
	"%00", "a%00b", "%FF", "%C3", "%ED%A0%80", "%20", "%22%27", "'%3B--", "%25", "%2F", "a%2Fb", "%0a%0d", "..", ".", "%2E%2E", "*", "~",
	"!", "@", "#", "%23", "$", ":", "!x", "@x", "%23x", "$x", "!:", "@:", "%23:", "!none:localhost", "@none:localhost", "%23none:localhost",
	"$none", "@ALICE:elsewhere.example", "%23a:elsewhere.example", "!%00:localhost", "%EF%BF%BD", "%F0%9F%92%A9", "-1", "0", "99999999999999999999",
	"%7B%7D", strings.Repeat("a", 256), "!" + strings.Repeat("a", 300), "$" + strings.Repeat("a", 300), strings.Repeat("%C3%BC", 1000),
	"m.room.create", "m.room.member", "m.room.redaction", "m.room.canonical_alias",
}

// oddValues are JSON values that are wrong for most fields.
var oddValues = []string{
	`null`, `true`, `0`, `-1`, `1.5`, `1e400`, `9007199254740992`, `99999999999999999999`, `""`, `" "`, `"x"`, `"\u0000"`, `"\ud800"`, "\"\xff\"",
	`"@x"`, `"@bob:localhost"`, `"@bob:elsewhere.example"`, `"!x:localhost"`, `"#x:localhost"`, `"` + strings.Repeat("ü", 200) + `"`,
	`"` + strings.Repeat("x", 70_000) + `"`, `[]`, `[null]`, `[1]`, `[""]`, `["\u0000"]`, `["@bob:localhost"]`, `["@x"]`, `[{}]`, `[[]]`,
	`{}`, `{"":{}}`, `{"\u0000":"\u0000"}`, `{"a":1,"a":2}`, `{"a":1.5}`, strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat(`}`, 200),
	strings.Repeat(`[`, 20_000) + strings.Repeat(`]`, 20_000),
}

// oddBodies returns whole bodies.
func oddBodies() []string {
	bodies := slices.Clone(oddValues)
	bodies = append(bodies, "", " ", "a=b", `{"a":1}x`, `{"a":1}{}`, `{"a":`, "\x00", "\xef\xbb\xbf{}",
		`{"auth":{"type":"\u0000","session":"\u0000"},"new_password":"a","devices":["\u0000"]}`,
		`{"auth":{"type":"m.login.password","session":"x"}}`,
		`{"auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"\u0000"},"password":"\u0000"},"new_password":"a","devices":["a"]}`,
		`{"type":"m.login.password","identifier":{"type":"m.id.user","user":"`+strings.Repeat("a", 5000)+`"},"password":"x"}`,
		`{"type":"m.login.password","user":"@","password":""}`,
		`{"displayname":{"a":"\u0000"},"display_name":"`+strings.Repeat("ü", 5000)+`"}`,
		`{"username":"ü","password":"x"}`, `{"nonce":"x","username":"x","password":"x","mac":"zz","admin":true}`,
		`{"search_categories":{"room_events":{"search_term":"'\\ :* | !","groupings":{"group_by":[{"key":"sender"},{"key":"sender"}]},"event_context":{}}}}`,
		`{"search_categories":{"room_events":{"search_term":"`+strings.Repeat("a ", 400)+`","filter":{"types":["%"],"rooms":["x"],"senders":[""]}}}}`,
		`{"search_categories":{"room_events":{"search_term":"x\u0000"}}}`,
		`{"id_server":"127.0.0.1","id_access_token":"x","medium":"email","address":"x"}`, `{"id_server":"/..","id_access_token":"\n","medium":"email","address":"x"}`)
	return bodies
}

// bodyFields and queryFields are the fields of the endpoints' bodies and queries.
var (
	bodyFields = map[string][]string{
		"POST /createRoom": {
			"visibility", "room_alias_name", "name", "topic", "invite", "invite_3pid", "room_version", "creation_content",
			"initial_state", "preset", "is_direct", "power_level_content_override",
		},
		"PUT /rooms/{roomId}/delayed_event/{eventType}/{txnId}": {"delay_ms", "delay", "state_key", "content"},
		"POST /delayed_events/{delayId}":                        {"action"},
		"POST /rooms/{roomId}/upgrade":                          {"new_version", "additional_creators"},
		"POST /rooms/{roomId}/redact/{eventId}":                 {"reason"},
		"PUT /rooms/{roomId}/redact/{eventId}/{txnId}":          {"reason"},
		"PUT /directory/room/{roomAlias}":                       {"room_id"},
		"PUT /directory/list/room/{roomId}":                     {"visibility"},
		"POST /publicRooms":                                     {"limit", "since", "filter", "include_all_networks", "third_party_instance_id"},
		"POST /user_directory/search":                           {"search_term", "limit"},
		"POST /search":                                          {"search_categories"},
		"POST /join/{roomIdOrAlias}":                            {"reason", "third_party_signed"},
		"POST /knock/{roomIdOrAlias}":                           {"reason"},
		"POST /rooms/{roomId}/join":                             {"reason", "third_party_signed"},
		"POST /rooms/{roomId}/leave":                            {"reason"},
		"POST /rooms/{roomId}/invite":                           {"user_id", "reason", "id_server", "id_access_token", "medium", "address"},
		"POST /rooms/{roomId}/kick":                             {"user_id", "reason"},
		"POST /rooms/{roomId}/ban":                              {"user_id", "reason"},
		"POST /rooms/{roomId}/unban":                            {"user_id", "reason"},
		"POST /user/{userId}/filter":                            {"event_fields", "event_format", "presence", "account_data", "room"},
		"POST /delete_devices":                                  {"devices", "auth"},
		"PUT /devices/{deviceId}":                               {"display_name"},
		"PUT /profile/{userId}/{keyName}":                       {"displayname"},
		"POST /account/password":                                {"new_password", "auth", "logout_devices"},
		"POST /register":                                        {"username", "password", "auth", "device_id", "initial_device_display_name", "inhibit_login"},
		"POST /login":                                           {"type", "user", "identifier", "password", "device_id", "initial_device_display_name"},
		"POST /refresh":                                         {"refresh_token"},
		"POST /keys/upload":                                     {"device_keys", "one_time_keys", "fallback_keys", "org.matrix.msc2732.fallback_keys"},
		"POST /keys/query":                                      {"device_keys", "timeout"},
		"POST /keys/claim":                                      {"one_time_keys", "timeout"},
		"POST /keys/device_signing/upload":                      {"master_key", "self_signing_key", "user_signing_key", "auth"},
		"POST /keys/signatures/upload":                          {"@alice:localhost"},
		"POST /room_keys/version":                               {"algorithm", "auth_data"},
		"PUT /dehydrated_device":                                {"device_id", "device_data", "initial_device_display_name", "device_keys", "one_time_keys", "fallback_keys"},
		"PUT /room_keys/version/{version}":                      {"algorithm", "auth_data", "version"},
		"PUT /room_keys/keys":                                   {"rooms"},
		"PUT /room_keys/keys/{roomId}":                          {"sessions"},
		"PUT /room_keys/keys/{roomId}/{sessionId}":              {"first_message_index", "forwarded_count", "is_verified", "session_data"},
	}
	queryFields = map[string][]string{
		"/publicRooms":                         {"limit", "since", "server"},
		"/search":                              {"next_batch"},
		"/sync":                                {"filter", "since", "full_state", "set_presence", "timeout", "use_state_after", "org.matrix.msc4222.use_state_after"},
		"/initialSync":                         {"limit", "archived"},
		"/rooms/{roomId}/initialSync":          {"limit"},
		"/rooms/{roomId}/messages":             {"from", "to", "dir", "limit", "filter"},
		"/rooms/{roomId}/context/{eventId}":    {"limit", "filter"},
		"/rooms/{roomId}/members":              {"at", "membership", "not_membership"},
		"/rooms/{roomId}/state/{eventType}":    {"format"},
		"/delayed_events":                      {"status", "delay_id", "from"},
		"/register/available":                  {"username"},
		"/room_keys/keys":                      {"version"},
		"/dehydrated_device/{deviceId}/events": {"from", "limit"},
	}
	// oddQueries are values for them, escaped.
	oddQueries = []string{
		"", "%00", "%FF", "%20", "x", "%22", "-1", "0", "1.5", "1e3", "%2B1", "99999999999999999999", "-99999999999999999999", "true", "TRUE",
		"s", "s-1", "s%2B1", "s0", "s1", "s999999999", "s9223372036854775807", "s99999999999999999999", "s1_2", "null", "%7B", "%7B%7D", "%5B%5D",
		"%7B%22limit%22:-1%7D", "%7B%22limit%22:99999999999999999999%7D", "%7B%22types%22:1%7D", "%7B%22types%22:%5B%22%5Cu0000%22%5D%7D",
		"%7B%22types%22:%5B%22%25%22,%22%5C%5C%22,%22***%22%5D%7D", "%7B%22not_senders%22:%5Bnull%5D%7D", "%7B%22room%22:%5B%5D%7D",
		"%7B%22room%22:%7B%22timeline%22:%7B%22limit%22:0,%22types%22:%5B%22%5Cud800%22%5D%7D%7D%7D", strings.Repeat("a", 5000), "join", "%7B%22rooms%22:%5B%22%5Cu0000%22%5D%7D",
	}
)

// place is a room with an event, an alias, a filter and a member, so that a path
// can be right but for one part.
type place struct {
	*matrixtest.Client
	parts map[string]string
}

// newPlace makes a place for a new user, who may log out or be deactivated.
func newPlace(anyone *matrixtest.Client) *place {
	c := anyone.Login(register(anyone), "wordpass")
	name := strings.ToLower(c.DeviceID)
	room := c.CreateRoom(map[string]any{"preset": "public_chat", "room_alias_name": name})
	filter := c.Do("POST", matrixtest.Path("user", c.UserID, "filter"), `{}`).OK().String("filter_id")
	return &place{c, map[string]string{
		"roomId": room, "roomIdOrAlias": room, "roomAlias": "%23" + name + ":localhost", "eventId": c.SendText(room, "hello"), "eventType": "m.room.message",
		"stateKey": "x", "txnId": "1", "userId": c.UserID, "keyName": "displayname", "deviceId": c.DeviceID, "filterId": filter,
	}}
}

// path fills in the path of a route, with one part replaced if it is named.
func (p *place) path(rt httpapi.Route, odd, by string) string {
	return rt.Prefixes[0].Path + pathParam.ReplaceAllStringFunc(rt.Path, func(param string) string {
		name := param[1 : len(param)-1]
		if name == odd {
			return by
		}
		return p.parts[name]
	})
}

// try sends a request, and fails the test unless the answer is JSON, and a
// refusal one of the protocol.
func (p *place) try(method, path, body string) {
	p.T.Helper()
	answer := p.Do(method, path, body)
	what := method + " " + httpapi.Clip(path, 300) + " " + httpapi.Clip(body, 200)
	switch {
	case answer.Status >= 500:
		p.T.Errorf("%s: %d %s", what, answer.Status, answer.Body)
	case strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html"):
		// A page for people says it in their words.
	case !json.Valid(answer.Body):
		p.T.Errorf("%s: %d, which is no JSON: %q", what, answer.Status, httpapi.Clip(string(answer.Body), 500))
	case answer.Status >= http.StatusMultipleChoices && answer.Errcode() == "" && answer.At("flows") == nil && answer.At("error_description") == nil:
		p.T.Errorf("%s: %d without errcode: %s", what, answer.Status, answer.Body)
	}
}

// nonsense runs a test for each route of the table.
func nonsense(t *testing.T, test func(rt httpapi.Route, p *place)) {
	t.Helper()
	t.Parallel()
	anyone := newServer(t)
	for _, rt := range routes() {
		test(rt, newPlace(anyone))
	}
}

// TestNoRouteFailsOnOddPaths makes each part of each path odd, one at a time.
func TestNoRouteFailsOnOddPaths(t *testing.T) {
	matrixtest.Long(t)
	nonsense(t, func(rt httpapi.Route, p *place) {
		for _, param := range pathParam.FindAllStringSubmatch(rt.Path, -1) {
			for _, part := range oddParts {
				p.try(rt.Method, p.path(rt, param[1], part), `{}`)
			}
		}
	})
}

// TestNoRouteFailsOnOddBodies sends odd bodies, and bodies with one odd field.
func TestNoRouteFailsOnOddBodies(t *testing.T) {
	matrixtest.Long(t)
	nonsense(t, func(rt httpapi.Route, p *place) {
		if rt.Method == http.MethodGet {
			return
		}
		path := p.path(rt, "", "")
		for _, body := range oddBodies() {
			p.try(rt.Method, path, body)
		}
		for _, field := range bodyFields[rt.Method+" "+rt.Path] {
			for _, value := range oddValues {
				p.try(rt.Method, path, `{"`+field+`":`+value+`}`)
			}
		}
	})
}

// TestNoRouteFailsOnOddQueries, the same for query strings.
func TestNoRouteFailsOnOddQueries(t *testing.T) {
	matrixtest.Long(t)
	nonsense(t, func(rt httpapi.Route, p *place) {
		if rt.Method != http.MethodGet {
			return
		}
		path := p.path(rt, "", "")
		p.try(rt.Method, path+"?%zz&=&&;;?", "")
		for _, field := range queryFields[rt.Path] {
			for _, value := range oddQueries {
				p.try(rt.Method, path+"?dir=b&"+field+"="+value, "")
				p.try(rt.Method, path+"?"+field+"="+value+"&dir=f", "")
			}
		}
	})
}

// TestNoEventFailsTheServer puts odd content into events of the types that the
// server itself reads, and then reads it all again.
func TestNoEventFailsTheServer(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	anyone := newServer(t)
	for _, test := range []struct {
		eventType string
		fields    []string
	}{
		{"m.room.create", []string{"creator", "room_version", "m.federate", "predecessor"}},
		{"m.room.member", []string{"membership", "displayname", "avatar_url", "reason", "is_direct", "join_authorised_via_users_server", "third_party_invite"}},
		{"m.room.power_levels", []string{"users", "events", "users_default", "ban", "notifications"}},
		{"m.room.join_rules", []string{"join_rule", "allow"}},
		{"m.room.history_visibility", []string{"history_visibility"}},
		{"m.room.canonical_alias", []string{"alias", "alt_aliases"}},
		{"m.room.redaction", []string{"redacts", "reason"}},
		{"m.room.name", []string{"name"}},
		{"m.room.aliases", []string{"aliases"}},
		{"m.room.third_party_invite", []string{"display_name", "public_key", "public_keys"}},
		{"m.room.tombstone", []string{"body", "replacement_room"}},
		{"org.example.odd", []string{"url", "content", "type", "\\u0000"}},
	} {
		p := newPlace(anyone)
		for _, key := range []string{"", p.UserID, "@bob:localhost", "odd"} {
			for _, field := range test.fields {
				for _, value := range oddValues {
					content := `{"` + field + `":` + value + `}`
					p.try("PUT", matrixtest.Path("rooms", p.parts["roomId"], "state", test.eventType, key), content)
					if key == "" {
						p.try("POST", matrixtest.Path("rooms", p.parts["roomId"], "send", test.eventType), content)
					}
				}
			}
		}
		for _, path := range []string{"state", "members", "joined_members", "messages?dir=b&limit=1000", "aliases"} {
			p.try("GET", "/rooms/"+p.parts["roomId"]+"/"+path, "")
		}
		p.try("GET", "/sync", "")
		p.try("GET", `/sync?filter={"room":{"timeline":{"limit":1000},"include_leave":true}}`, "")
	}
}

// register makes an account with a made-up name, and returns its user ID.
func register(anyone *matrixtest.Client) string {
	return anyone.Do("POST", "/register", `{"password":"wordpass","auth":{"type":"m.login.dummy"}}`).OK().String("user_id")
}
