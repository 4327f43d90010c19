package api

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// promises are the endpoints that the flags of unstable_features promise. Each is called as the
// clients that look for the flag do.
var promises = map[string]func(t *testing.T, alice, bob *matrixtest.Client, room string){
	"com.beeper.msc4169": func(t *testing.T, _, bob *matrixtest.Client, room string) {
		id := bob.SendText(room, "regrettable")
		by := bob.SendEvent(room, "m.room.redaction", map[string]any{"redacts": id, "reason": "why"})
		isRedacted(t, "sent like any event", bob.Do("GET", matrixtest.Path("rooms", room, "event", id), nil).OK().Event(), by, "why")
	},
	"fi.mau.msc2246.stable": func(_ *testing.T, alice, _ *matrixtest.Client, _ string) {
		uri := alice.Do("POST", "/_matrix/media/v1/create", nil).OK().String("content_uri")
		alice.Do("PUT", "/_matrix/media/v3/upload/"+strings.TrimPrefix(uri, "mxc://"), "later").OK()
	},
	"fi.mau.msc2659.stable": func(_ *testing.T, alice, _ *matrixtest.Client, _ string) {
		alice.Do("POST", "/_matrix/client/v1/appservice/bridge/ping", `{}`).Refused(403, "M_FORBIDDEN")
	},
	"org.matrix.e2e_cross_signing": func(t *testing.T, alice, bob *matrixtest.Client, _ string) {
		keys := newCrossSigning(alice)
		alice.Do("POST", "/_matrix/client/unstable/keys/device_signing/upload", keys.all()).OK()
		sameJSON(t, "self-signing key", query(bob, alice.UserID).At("self_signing_keys", alice.UserID), keys.selfKey())
	},
	"org.matrix.msc2285.stable": func(t *testing.T, alice, bob *matrixtest.Client, room string) {
		id := alice.SendText(room, "read in private")
		bob.Do("POST", matrixtest.Path("rooms", room, "read_markers"), map[string]any{"m.read.private": id}).OK()
		for reader, want := range map[*matrixtest.Client]map[string]string{bob: {bob.UserID: ""}, alice: {}} {
			if diff := cmp.Diff(want, receiptsOf(t, reader.Sync(""), room, "m.read.private", id)); diff != "" {
				t.Errorf("shown to %s: %s", reader.UserID, diff)
			}
		}
	},
	"org.matrix.msc2432": func(t *testing.T, alice, _ *matrixtest.Client, room string) {
		alice.Do("PUT", matrixtest.Path("directory", "room", "#local:localhost"), map[string]any{"room_id": room}).OK()
		got := alice.Do("GET", matrixtest.Path("rooms", room, "aliases"), nil).OK().At("aliases")
		if diff := cmp.Diff(any([]any{"#local:localhost"}), got); diff != "" {
			t.Error(diff)
		}
	},
	"org.matrix.msc3030": func(t *testing.T, alice, bob *matrixtest.Client, room string) {
		atTime(t, "/_matrix/client/unstable/org.matrix.msc3030", alice, bob, room)
	},
	"org.matrix.msc3030.stable": func(t *testing.T, alice, bob *matrixtest.Client, room string) {
		atTime(t, "/_matrix/client/v1", alice, bob, room)
	},
	"org.matrix.msc4108": func(t *testing.T, alice, _ *matrixtest.Client, _ string) {
		if begun := alice.Do("POST", "/_matrix/client/unstable/org.matrix.msc4108/rendezvous", "hello"); begun.Status != 201 {
			t.Errorf("got %d %s", begun.Status, begun.Body)
		}
	},
	"org.matrix.msc4155": func(_ *testing.T, alice, bob *matrixtest.Client, _ string) {
		bob.Do("PUT", dataPath(bob.UserID, "", "org.matrix.msc4155.invite_permission_config"), `{"blocked_servers":["*"]}`).OK()
		change(alice, alice.CreateRoom(nil), "invite", map[string]any{"user_id": bob.UserID}).Refused(403, "M_INVITE_BLOCKED")
	},
	"org.matrix.msc4380.stable": func(_ *testing.T, alice, bob *matrixtest.Client, _ string) {
		bob.Do("PUT", dataPath(bob.UserID, "", "m.invite_permission_config"), `{"default_action":"block"}`).OK()
		change(alice, alice.CreateRoom(nil), "invite", map[string]any{"user_id": bob.UserID}).Refused(403, "M_INVITE_BLOCKED")
	},
	"org.matrix.msc3771": func(t *testing.T, alice, bob *matrixtest.Client, room string) {
		root := thread(alice, room)
		bob.Do("POST", receiptPath(room, "m.read", root), `{"thread_id":"main"}`).OK()
		want := map[string]string{bob.UserID: "main"}
		if diff := cmp.Diff(want, receiptsOf(t, alice.Sync(""), room, "m.read", root)); diff != "" {
			t.Error(diff)
		}
	},
	"org.matrix.msc3773": func(t *testing.T, alice, bob *matrixtest.Client, room string) {
		root := thread(alice, room)
		for _, name := range []string{"unread_thread_notifications", "org.matrix.msc3773.unread_thread_notifications"} {
			answer := bob.Sync("", "filter", `{"room":{"timeline":{"`+name+`":true}}}`)
			if got := answer.At("rooms", "join", room, "unread_thread_notifications", root, "notification_count"); got != 1.0 {
				t.Errorf("%s: unread in the thread: %v", name, got)
			}
		}
	},
	"org.matrix.msc3827.stable": func(t *testing.T, alice, _ *matrixtest.Client, _ string) {
		space := alice.CreateRoom(map[string]any{
			"preset": "public_chat", "visibility": "public", "creation_content": map[string]any{"type": "m.space"},
		})
		alice.CreateRoom(map[string]any{"preset": "public_chat", "visibility": "public"})
		found := alice.Do("POST", "/publicRooms", `{"filter":{"room_types":["m.space"]}}`).OK()
		if chunk, _ := found.At("chunk").([]any); len(chunk) != 1 || found.String("chunk", 0, "room_id") != space {
			t.Errorf("spaces: %s", found.Body)
		}
	},
	"org.matrix.msc3916.stable": func(_ *testing.T, alice, bob *matrixtest.Client, _ string) {
		uri := alice.Do("POST", "/_matrix/media/v3/upload", "for users").OK().String("content_uri")
		path := "/_matrix/client/v1/media/download/" + strings.TrimPrefix(uri, "mxc://")
		bob.Do("GET", path, nil).OK()
		stranger := *bob
		stranger.Token = ""
		stranger.Do("GET", path, nil).Refused(401, "M_MISSING_TOKEN")
	},
	"org.matrix.msc3952_intentional_mentions": func(t *testing.T, alice, bob *matrixtest.Client, room string) {
		alice.SendEvent(room, "m.room.message", map[string]any{
			"msgtype": "m.text", "body": "you there", "m.mentions": map[string]any{"user_ids": []string{bob.UserID}},
		})
		if got := bob.Sync("").At("rooms", "join", room, "unread_notifications", "highlight_count"); got != 1.0 {
			t.Errorf("highlights: %v", got)
		}
	},
	"org.matrix.msc4140": func(t *testing.T, alice, bob *matrixtest.Client, room string) {
		id := schedule(alice, room, "later", "later", 60_000).OK().String("delay_id")
		alice.Do("POST", delayedEvents+"/"+id+"/send", nil).OK()
		events := history(bob, room)
		if got := events[len(events)-1].Body(); got != "later" {
			t.Errorf("the last message is %q", got)
		}
	},
	"org.matrix.simplified_msc3575": func(t *testing.T, alice, _ *matrixtest.Client, room string) {
		equalRooms(t, "sliding sync", roomList(alice, 19).next(), room)
	},
	"org.matrix.msc3856": func(t *testing.T, alice, bob *matrixtest.Client, room string) {
		root := threadsOf(alice, room, 1)[0]
		answer := bob.Do("GET", "/_matrix/client/unstable/org.matrix.msc3856"+matrixtest.Path("rooms", room, "threads"), nil).OK()
		matrixtest.Equal(t, "threads", idsOf(answer.Events("chunk")), []string{root})
	},
	"org.matrix.msc3981": func(t *testing.T, alice, _ *matrixtest.Client, room string) {
		root := alice.SendText(room, "root")
		reply := sendRelated(alice, room, "m.thread", root, "reply")
		reaction := react(alice, room, reply, "a")
		got := relationIDs(alice, relationsPath(room, root)+"?org.matrix.msc3981.recurse=true")
		matrixtest.Equal(t, "related", got, []string{reaction, reply})
	},
	"org.matrix.msc4143": func(t *testing.T, alice, _ *matrixtest.Client, _ string) {
		got := alice.Do("GET", "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports", nil).OK().At("rtc_transports")
		if diff := cmp.Diff(any([]any{}), got); diff != "" {
			t.Error(diff)
		}
	},
	"org.matrix.msc4222": func(t *testing.T, alice, _ *matrixtest.Client, room string) {
		alice.SetState(room, "m.room.topic", "", map[string]any{"topic": "now"})
		events := alice.Sync("", "use_state_after", "true").Events("rooms", "join", room, "state_after", "events")
		if !slices.Contains(typesOf(events), "m.room.topic") {
			t.Errorf("state after the timeline: %q", typesOf(events))
		}
	},
	"org.matrix.msc3881": func(t *testing.T, alice, _ *matrixtest.Client, _ string) {
		alice.Do("POST", "/pushers/set", pusher(map[string]any{"org.matrix.msc3881.enabled": false})).OK()
		list := alice.Do("GET", "/pushers", nil).OK()
		if on, of := list.At("pushers", 0, "org.matrix.msc3881.enabled"), list.At("pushers", 0, "org.matrix.msc3881.device_id"); on != false || of != alice.DeviceID {
			t.Errorf("enabled: %v, of %v", on, of)
		}
	},
	"uk.half-shot.msc2666.query_mutual_rooms": func(t *testing.T, alice, bob *matrixtest.Client, room string) {
		wantMutual(t, alice.Do("GET", "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms?user_id="+bob.UserID, nil).OK(), room)
	},
	"uk.half-shot.msc2666.query_mutual_rooms.stable": func(t *testing.T, alice, bob *matrixtest.Client, room string) {
		wantMutual(t, alice.Do("GET", "/_matrix/client/v1/mutual_rooms?user_id="+bob.UserID, nil).OK(), room)
	},
	"uk.tcpip.msc4133": func(t *testing.T, alice, bob *matrixtest.Client, _ string) {
		ownField(t, "/_matrix/client/unstable/uk.tcpip.msc4133", alice, bob)
	},
	"uk.tcpip.msc4133.stable": func(t *testing.T, alice, bob *matrixtest.Client, _ string) {
		ownField(t, "/_matrix/client/v3", alice, bob)
	},
}

func ownField(t *testing.T, prefix string, alice, bob *matrixtest.Client) {
	t.Helper()
	field := prefix + matrixtest.Path("profile", alice.UserID, "com.example.mood")
	alice.Do("PUT", field, `{"com.example.mood":"good"}`).OK()
	for _, path := range []string{field, prefix + matrixtest.Path("profile", alice.UserID)} {
		if got := bob.Do("GET", path, nil).OK().String("com.example.mood"); got != "good" {
			t.Errorf("%s: %q", path, got)
		}
	}
	alice.Do("DELETE", field, nil).OK()
	bob.Do("GET", field, nil).Refused(404, "M_NOT_FOUND")
}

func atTime(t *testing.T, prefix string, alice, bob *matrixtest.Client, room string) {
	t.Helper()
	id := alice.SendText(room, "the newest")
	now := strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10)
	if got := bob.Do("GET", prefix+matrixtest.Path("rooms", room, "timestamp_to_event")+"?dir=b&ts="+now, nil).OK().String("event_id"); got != id {
		t.Errorf("got %s, want %s", got, id)
	}
}

// thread starts one with a reply, and returns the event at its root.
func thread(c *matrixtest.Client, room string) (root string) {
	root = c.SendText(room, "root")
	c.SendEvent(room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "reply", "m.relates_to": map[string]any{"rel_type": "m.thread", "event_id": root},
	})
	return root
}

func TestUnstableFeaturesAreWhatIsServed(t *testing.T) {
	t.Parallel()
	var answer struct {
		Features map[string]bool `json:"unstable_features"`
	}
	newServer(t).Do("GET", "/_matrix/client/versions", nil).OK().Into(&answer)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(promises)), slices.Sorted(maps.Keys(answer.Features))); diff != "" {
		t.Errorf("(-kept +announced):\n%s", diff)
	}
	for flag, announced := range answer.Features {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			if !announced || promises[flag] == nil {
				t.Fatalf("announced: %v; a test keeps it true: %v", announced, promises[flag] != nil)
			}
			alice, bob, room := shared(t)
			promises[flag](t, alice, bob, room)
		})
	}
}

// TestUnstableNamesOfServedEndpoints: each endpoint that has a name as a proposal,
// as the clients send it that still ask by that name.
func TestUnstableNamesOfServedEndpoints(t *testing.T) {
	t.Parallel()
	const unstable = "/_matrix/client/unstable/"
	served := map[string]string{ // and the part of the specification's name that follows its generation
		"POST " + unstable + "org.matrix.msc3882/login/get_token":                                 "login/get_token",
		"POST " + unstable + "org.matrix.simplified_msc3575/sync":                                 "sync",
		"POST " + unstable + "org.matrix.msc2918/refresh":                                         "refresh",
		"GET " + unstable + "org.matrix.msc2965/auth_metadata":                                    "auth_metadata",
		"GET " + unstable + "org.matrix.msc2432/rooms/{roomId}/aliases":                           "rooms/{roomId}/aliases",
		"POST " + unstable + "xyz.amorgan.knock/knock/{roomIdOrAlias}":                            "knock/{roomIdOrAlias}",
		"POST " + unstable + "org.matrix.msc4151/rooms/{roomId}/report":                           "rooms/{roomId}/report",
		"POST " + unstable + "org.matrix.msc4260/users/{userId}/report":                           "users/{userId}/report",
		"GET " + unstable + "org.matrix.msc3231/register/m.login.registration_token/validity":     "register/m.login.registration_token/validity",
		"GET " + unstable + "uk.timedout.msc4323/admin/lock/{userId}":                             "admin/lock/{userId}",
		"PUT " + unstable + "uk.timedout.msc4323/admin/lock/{userId}":                             "admin/lock/{userId}",
		"GET " + unstable + "uk.timedout.msc4323/admin/suspend/{userId}":                          "admin/suspend/{userId}",
		"PUT " + unstable + "uk.timedout.msc4323/admin/suspend/{userId}":                          "admin/suspend/{userId}",
		"GET " + unstable + "uk.tcpip.msc4133/profile/{userId}":                                   "profile/{userId}",
		"GET " + unstable + "uk.tcpip.msc4133/profile/{userId}/{keyName}":                         "profile/{userId}/{keyName}",
		"PUT " + unstable + "uk.tcpip.msc4133/profile/{userId}/{keyName}":                         "profile/{userId}/{keyName}",
		"DELETE " + unstable + "uk.tcpip.msc4133/profile/{userId}/{keyName}":                      "profile/{userId}/{keyName}",
		"GET " + unstable + "account/3pid":                                                        "account/3pid",
		"POST " + unstable + "account/3pid":                                                       "account/3pid",
		"POST " + unstable + "account/3pid/add":                                                   "account/3pid/add",
		"POST " + unstable + "account/3pid/bind":                                                  "account/3pid/bind",
		"POST " + unstable + "account/3pid/delete":                                                "account/3pid/delete",
		"POST " + unstable + "account/3pid/unbind":                                                "account/3pid/unbind",
		"POST " + unstable + "account/3pid/email/requestToken":                                    "account/3pid/email/requestToken",
		"POST " + unstable + "keys/upload":                                                        "keys/upload",
		"POST " + unstable + "keys/upload/{deviceId}":                                             "keys/upload/{deviceId}",
		"GET " + unstable + "keys/changes":                                                        "keys/changes",
		"POST " + unstable + "keys/query":                                                         "keys/query",
		"POST " + unstable + "fi.mau.msc2659/appservice/{appserviceId}/ping":                      "appservice/{appserviceId}/ping",
		"POST " + unstable + "keys/claim":                                                         "keys/claim",
		"PUT " + unstable + "sendToDevice/{eventType}/{txnId}":                                    "sendToDevice/{eventType}/{txnId}",
		"POST " + unstable + "keys/device_signing/upload":                                         "keys/device_signing/upload",
		"POST " + unstable + "keys/signatures/upload":                                             "keys/signatures/upload",
		"POST " + unstable + "account/3pid/msisdn/requestToken":                                   "account/3pid/msisdn/requestToken",
		"GET " + unstable + "org.matrix.msc3030/rooms/{roomId}/timestamp_to_event":                "rooms/{roomId}/timestamp_to_event",
		"GET " + unstable + "uk.half-shot.msc2666/user/mutual_rooms":                              "user/mutual_rooms",
		"GET " + unstable + "org.matrix.msc3856/rooms/{roomId}/threads":                           "rooms/{roomId}/threads",
		"GET " + unstable + "im.nheko.summary/summary/{roomIdOrAlias}":                            "summary/{roomIdOrAlias}",
		"GET " + unstable + "im.nheko.summary/rooms/{roomIdOrAlias}/summary":                      "rooms/{roomIdOrAlias}/summary",
		"GET " + unstable + "org.matrix.msc4143/rtc/transports":                                   "rtc/transports",
		"GET " + unstable + "org.matrix.msc3916/media/config":                                     "config",
		"GET " + unstable + "org.matrix.msc3916/media/preview_url":                                "preview_url",
		"GET " + unstable + "org.matrix.msc3916/media/download/{serverName}/{mediaId}":            "download/{serverName}/{mediaId}",
		"GET " + unstable + "org.matrix.msc3916/media/thumbnail/{serverName}/{mediaId}":           "thumbnail/{serverName}/{mediaId}",
		"POST /_matrix/media/unstable/fi.mau.msc2246/create":                                      "create",
		"PUT /_matrix/media/unstable/fi.mau.msc2246/upload/{serverName}/{mediaId}":                "upload/{serverName}/{mediaId}",
		"GET " + unstable + "org.matrix.msc3916/media/download/{serverName}/{mediaId}/{fileName}": "download/{serverName}/{mediaId}/{fileName}",
	}
	for _, path := range []string{"{eventId}", "{eventId}/{relType}", "{eventId}/{relType}/{eventType}"} {
		served["GET "+unstable+"rooms/{roomId}/relations/"+path] = "rooms/{roomId}/relations/" + path
	}
	for _, path := range []string{"protocols", "protocol/{protocol}", "location", "location/{protocol}", "user", "user/{protocol}"} {
		served["GET "+unstable+"thirdparty/"+path] = "thirdparty/" + path
	}
	for path, methods := range map[string]string{
		"room_keys/version": "GET POST", "room_keys/version/{version}": "GET PUT DELETE", "room_keys/keys": "GET PUT DELETE",
		"room_keys/keys/{roomId}": "GET PUT DELETE", "room_keys/keys/{roomId}/{sessionId}": "GET PUT DELETE",
	} {
		for method := range strings.FieldsSeq(methods) {
			served[method+" "+unstable+path] = path
		}
	}
	for path, methods := range map[string]string{"dehydrated_device": "GET PUT DELETE", "dehydrated_device/{deviceId}/events": "GET POST"} {
		for method := range strings.FieldsSeq(methods) {
			served[method+" "+unstable+"org.matrix.msc3814.v1/"+path] = path
		}
	}
	for path, methods := range map[string]string{
		"rooms/{roomId}/delayed_event/{eventType}/{txnId}": "PUT",
		"delayed_events": "GET", "delayed_events/{delayId}": "GET POST", "delayed_events/{delayId}/{action}": "POST",
	} {
		for method := range strings.FieldsSeq(methods) {
			served[method+" "+unstable+"org.matrix.msc4140/"+path] = path
		}
	}
	for path, methods := range map[string]string{"rendezvous": "POST", "rendezvous/{rendezvousId}": "GET PUT DELETE"} {
		for method := range strings.FieldsSeq(methods) {
			served[method+" "+unstable+"org.matrix.msc4108/"+path] = path
		}
	}
	found := map[string]string{}
	for _, rt := range routes() {
		for _, prefix := range rt.Prefixes {
			if strings.Contains(prefix.Path, "/unstable") {
				found[rt.Method+" "+prefix.Path+rt.Path] = rt.Path[1:]
			}
		}
	}
	if diff := cmp.Diff(served, found); diff != "" {
		t.Errorf("(-want +served):\n%s", diff)
	}
}

func TestStateAfterByTheNameThatElementAsksBy(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	for asked, want := range map[string]string{
		"use_state_after": "state_after", "org.matrix.msc4222.use_state_after": "org.matrix.msc4222.state_after",
	} {
		joined, _ := alice.Sync("", asked, "true").At("rooms", "join", room).(map[string]any)
		for _, name := range []string{"state", "state_after", "org.matrix.msc4222.state_after"} {
			if _, there := joined[name]; there != (name == want) {
				t.Errorf("with %s, %s is there: %v", asked, name, there)
			}
		}
	}
	both := alice.Do("GET", "/sync?use_state_after=true&org.matrix.msc4222.use_state_after=true", nil).OK()
	if both.At("rooms", "join", room, "state_after") == nil {
		t.Errorf("by both names: %s", both.Body)
	}
	if off := alice.Sync("", "org.matrix.msc4222.use_state_after", "false"); off.At("rooms", "join", room, "state") == nil {
		t.Errorf("switched off: %s", off.Body)
	}
	alice.Do("GET", "/sync?org.matrix.msc4222.use_state_after=1", nil).Refused(400, "M_INVALID_PARAM")
}
