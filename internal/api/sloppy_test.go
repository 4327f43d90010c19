package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"homeserver/internal/matrixtest"
)

// What stands in this file is how clients of all ages bend the rules of HTTP and of
// the specification. They must be served all the same.

// wire sends a request as it is written, but for the host and the token, and returns the
// answer.
func wire(c *matrixtest.Client, request string) (status int, body string) {
	c.T.Helper()
	conn, err := (&net.Dialer{Timeout: time.Minute}).DialContext(c.T.Context(), "tcp", strings.TrimPrefix(c.BaseURL, "http://"))
	if err != nil {
		c.T.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the answer was read
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		c.T.Fatal(err)
	}
	head, content, _ := strings.Cut(request, "\n\n")
	head = strings.ReplaceAll(strings.TrimRight(head, "\n"), "\n", "\r\n")
	if _, err := fmt.Fprintf(conn, "%s\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n%s", head, c.Token, content); err != nil {
		c.T.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		c.T.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // it is only read
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		c.T.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestSloppyHeaders(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	for header, values := range map[string][]string{
		"Accept": {
			"", "*", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "application/json;charset", ";;;", "text/plain", "\"",
			"application/xml", "*/*;q=", "application/json;q=abc",
		},
		"Accept-Language": {"", "xx;;q=", "*"},
		"Accept-Charset":  {"nothing", "utf-8;q=2"},
		"Accept-Encoding": {"", "*", "identity;q=0", "gzip;q=x", "br", "nonsense, gzip"},
		"Content-Type": {
			"", "application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8", "application/json;charset=latin-1", "json", ";",
			"multipart/form-data",
		},
		"Authorization":     {"bearer " + alice.Token, "BEARER  " + alice.Token + " "},
		"User-Agent":        {"", "\xff"},
		"If-None-Match":     {"*", "x"},
		"Range":             {"bytes=5-1", "x"},
		"Origin":            {"null", "not an origin"},
		"X-Forwarded-For":   {"nobody"},
		"Expect":            {"100-continue"},
		"Cookie":            {";;;", "a"},
		"Referer":           {"::"},
		"X-HTTP-Method":     {"DELETE"},
		"If-Modified-Since": {"yesterday"},
	} {
		for i, value := range values {
			txn := fmt.Sprint(header, i)
			request := alice.Request("PUT", matrixtest.Path("rooms", room, "send", "m.room.message", txn), `{"body":"x"}`)
			request.Header[header] = []string{value}
			if answer := alice.Send(request); answer.Status != http.StatusOK {
				t.Errorf("%s: %q: %d %s", header, value, answer.Status, answer.Body)
			}
		}
	}
}

func TestSloppyPaths(t *testing.T) {
	t.Parallel()
	alice, _ := newPair(t)
	room := alice.CreateRoom(`{"room_version":"11"}`) // its ID has a colon
	id := alice.SendText(room, "hello")
	name := strings.TrimPrefix(room, "!")
	local, server, _ := strings.Cut(name, ":")
	for _, form := range []string{
		"!" + name, "%21" + local + "%3A" + server, "%21" + local + ":" + server, "!" + local + "%3a" + server,
	} {
		for _, path := range []string{
			"/rooms/%s/state", "/rooms/%s/state/", "/rooms/%s/members", "/rooms/%s/event/" + url.QueryEscape(id),
			"/rooms/%s/context/" + id, "/rooms/%s/messages?dir=b", "/rooms/%s/messages/?dir=b", "/rooms/%s/joined_members/",
			"/rooms/%s/state/m.room.member/" + url.QueryEscape(alice.UserID), "/rooms/%s/state/m.room.member/" + alice.UserID + "/",
			"/rooms/%s/state/m.room.create", "/rooms/%s/state/m.room.create/", "/directory/list/room/%s",
		} {
			path = strings.Replace(path, "%s", form, 1)
			for _, prefix := range []string{"/_matrix/client/r0", "/_matrix/client/v3", "//_matrix/client/r0"} {
				if status, body := wire(alice, "GET "+prefix+path+" HTTP/1.1\n"); status != http.StatusOK {
					t.Errorf("%s%s: %d %s", prefix, path, status, body)
				}
			}
		}
	}
}

func TestSloppyEmptyStateKey(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	path := matrixtest.Path("rooms", room, "state", "m.room.topic")
	for _, write := range []string{path, path + "/"} {
		for _, read := range []string{path, path + "/", path + "/?format=content", path + "?unknown="} {
			topic := write + read
			alice.Do("PUT", write, map[string]string{"topic": topic}).OK()
			if got := alice.Do("GET", read, nil).OK().String("topic"); got != topic {
				t.Errorf("written by %s, read by %s: %q", write, read, got)
			}
		}
	}
}

func TestSloppyBodies(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	length := func(text string) string { return fmt.Sprintf("Content-Length: %d\n\n%s", len(text), text) }
	chunked := func(parts ...string) string {
		text := "Transfer-Encoding: chunked\n\n"
		for _, part := range parts {
			text += fmt.Sprintf("%x\r\n%s\r\n", len(part), part)
		}
		return text + "0\r\n\r\n"
	}
	again := func() { change(bob, room, "join", nil).OK() }
	for name, test := range map[string]struct{ request, want string }{
		"no length at all":       {"POST /_matrix/client/r0/rooms/" + room + "/leave HTTP/1.1\n", "{}"},
		"length 0":               {"POST /_matrix/client/r0/rooms/" + room + "/leave HTTP/1.1\n" + length(""), "{}"},
		"spaces":                 {"POST /_matrix/client/r0/rooms/" + room + "/leave HTTP/1.1\n" + length(" \r\n\t"), "{}"},
		"HTTP/1.0":               {"POST /_matrix/client/r0/rooms/" + room + "/leave HTTP/1.0\n", "{}"},
		"chunked and empty":      {"POST /_matrix/client/r0/rooms/" + room + "/leave HTTP/1.1\n" + chunked(), "{}"},
		"chunked":                {"POST /_matrix/client/r0/rooms/" + room + "/leave HTTP/1.1\n" + chunked(`{"rea`, `son":"x"}`), "{}"},
		"join without":           {"POST /_matrix/client/r0/join/" + room + " HTTP/1.1\n", `{"room_id":"` + room + `"}`},
		"knocking, no need":      {"POST /_matrix/client/r0/rooms/" + room + "/join HTTP/1.1\n", `{"room_id":"` + room + `"}`},
		"state chunked":          {"PUT /_matrix/client/r0/rooms/" + room + "/state/org.example/ HTTP/1.1\n" + chunked(`{"a":`, "1", "}"), `{"event_id":`},
		"message chunked":        {"POST /_matrix/client/r0/rooms/" + room + "/send/m.room.message HTTP/1.1\n" + chunked(`{"body":"x"}`), `{"event_id":`},
		"create without":         {"POST /_matrix/client/r0/createRoom HTTP/1.1\n", `{"room_id":`},
		"GET with a body":        {"GET /_matrix/client/r0/joined_rooms HTTP/1.1\n" + length(`{"x":1}`), `{"joined_rooms":`},
		"GET with no JSON":       {"GET /_matrix/client/r0/joined_rooms HTTP/1.1\n" + length(`x`), `{"joined_rooms":`},
		"a form's content type":  {"POST /_matrix/client/r0/rooms/" + room + "/send/m.room.message HTTP/1.1\nContent-Type: application/x-www-form-urlencoded\n" + length(`{"body":"x"}`), `{"event_id":`},
		"directory, no body":     {"POST /_matrix/client/r0/publicRooms HTTP/1.1\n", `{"chunk":`},
		"logout with a body":     {"POST /_matrix/client/r0/logout HTTP/1.1\n" + length(`x`), "{}"},
		"read markers, no body":  {"POST /_matrix/client/r0/rooms/" + room + "/read_markers HTTP/1.1\n", "{}"},
		"receipt without a body": {"POST /_matrix/client/r0/rooms/" + room + "/receipt/m.read/" + bob.SendText(room, "x") + " HTTP/1.1\n", "{}"},
	} {
		as := bob
		if strings.Contains(name, "logout") {
			as = bob.Login("bob", "wordpass")
		}
		if strings.Contains(name, "state") {
			as = alice
		}
		again()
		if status, body := wire(as, test.request); status != http.StatusOK || !strings.HasPrefix(body, test.want) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	change(bob, room, "leave", nil).OK()
	if status, body := wire(bob, "POST /_matrix/client/r0/rooms/"+room+"/forget HTTP/1.1\n"); status != http.StatusOK {
		t.Errorf("forget: %d %s", status, body)
	}
}

func TestSloppyQueries(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	alice.SendText(room, "one")
	alice.SendText(room, "two")
	member := `"@bob:localhost"`
	for query, want := range map[string]string{
		`sync?filter={"room":{"timeline":{"limit":1}}}&timeout=0`:                "two",
		`sync?filter={"room":{"timeline":{"limit":1},"rooms":["` + room + `"]}}`: "two",
		`sync?_cacheBuster=123&unknown[]=x&timeout=0`:                            "one",
		`sync?timeout=&since=&filter=&full_state=&set_presence=`:                 "one",
		`sync?;timeout=0;`: "one",
		`rooms/` + room + `/messages?dir=b&filter={"types":["m.room.message"]}&limit=1&x=y`: "two",
		`rooms/` + room + `/messages?dir=b&from=&to=&limit=&filter=`:                        "one",
		`rooms/` + room + `/members?membership=join&not_membership=leave`:                   member,
		`rooms/` + room + `/members?membership=&not_membership=&at=`:                        member,
		`rooms/` + room + `/members?not_membership=leave&membership=join&x`:                 member,
		`publicRooms?limit=&since=&server=&nonsense={}`:                                     `"chunk"`,
	} {
		if status, body := wire(bob, "GET /_matrix/client/r0/"+query+" HTTP/1.1\n"); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.500s", query, status, body)
		}
	}
	change(bob, room, "leave", nil).OK()
	for query, there := range map[string]bool{
		"": true, "?membership=join&not_membership=leave": false, "?membership=leave&not_membership=join": true,
		"?not_membership=leave": false, "?membership=join": false, "?membership=leave&not_membership=leave": true,
	} {
		status, body := wire(alice, "GET /_matrix/client/r0/rooms/"+room+"/members"+query+" HTTP/1.1\n")
		if status != http.StatusOK || strings.Contains(body, `"state_key":`+member) != there {
			t.Errorf("members%s: %d %s", query, status, body)
		}
	}
}

func TestSloppyTokens(t *testing.T) {
	t.Parallel()
	alice, _ := newPair(t)
	anyone := matrixtest.At(t, alice.BaseURL, alice.HTTP)
	for _, query := range []string{"?access_token=" + alice.Token, "?x=1&access_token=" + url.QueryEscape(alice.Token) + "&", "?access_token=" + alice.Token + "&access_token="} {
		if got := anyone.Do("GET", "/account/whoami"+query, nil).OK().String("user_id"); got != alice.UserID {
			t.Errorf("%s: %q", query, got)
		}
	}
}

// TestSyncShowsEmptyPartsAsTheTutorialsDo is for clients that read them without
// looking whether they are there.
func TestSyncShowsEmptyPartsAsTheTutorialsDo(t *testing.T) {
	t.Parallel()
	alice, _ := newPair(t)
	empty := alice.Sync("")
	for _, kind := range []string{"join", "invite", "leave"} {
		if got, ok := empty.At("rooms", kind).(map[string]any); !ok || len(got) != 0 {
			t.Errorf("rooms.%s is %v", kind, empty.At("rooms", kind))
		}
	}
	for _, part := range []string{"presence", "account_data"} {
		if _, ok := empty.At(part, "events").([]any); !ok {
			t.Errorf("%s.events is %v", part, empty.At(part, "events"))
		}
	}
	room := alice.CreateRoom(nil)
	for _, since := range []string{"", empty.NextBatch()} {
		joined := alice.Sync(since)
		for _, part := range []string{"timeline", "state", "ephemeral", "account_data"} {
			if _, ok := joined.At("rooms", "join", room, part, "events").([]any); !ok {
				t.Errorf("since %q: %s.events is %v", since, part, joined.At("rooms", "join", room, part, "events"))
			}
		}
		if joined.String("rooms", "join", room, "timeline", "prev_batch") == "" || joined.At("rooms", "join", room, "timeline", "limited") == nil {
			t.Errorf("timeline: %v", joined.At("rooms", "join", room, "timeline"))
		}
	}
	still := alice.Sync(alice.Sync("").NextBatch())
	for _, kind := range []string{"join", "invite", "leave"} {
		if _, ok := still.At("rooms", kind).(map[string]any); !ok {
			t.Errorf("with nothing new rooms.%s is %v", kind, still.At("rooms", kind))
		}
	}
}
