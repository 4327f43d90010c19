package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

// related returns the content of a message that is related to another event.
func related(relType, target, body string) map[string]any {
	content := map[string]any{
		"msgtype": "m.text", "body": body, "m.relates_to": map[string]any{"rel_type": relType, "event_id": target},
	}
	if relType == "m.replace" {
		content["m.new_content"] = map[string]any{"msgtype": "m.text", "body": body}
	}
	return content
}

func sendRelated(c *matrixtest.Client, room, relType, target, body string) (id string) {
	c.T.Helper()
	return c.SendEvent(room, "m.room.message", related(relType, target, body))
}

func react(c *matrixtest.Client, room, target, key string) (id string) {
	c.T.Helper()
	return c.SendEvent(room, "m.reaction", map[string]any{
		"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": target, "key": key},
	})
}

// relationsPath returns the path of the events related to one: of a type of relation, and of
// events.
func relationsPath(room, id string, types ...string) string {
	return "/_matrix/client/v1" + matrixtest.Path(slices.Concat([]string{"rooms", room, "relations", id}, types)...)
}

func relationIDs(c *matrixtest.Client, path string) []string {
	c.T.Helper()
	return idsOf(c.Do("GET", path, nil).OK().Events("chunk"))
}

func TestRelationsByType(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	root, other := alice.SendText(room, "root"), alice.SendText(room, "other")
	reply := sendRelated(bob, room, "m.thread", root, "reply")
	edit := sendRelated(alice, room, "m.replace", root, "edit")
	reaction := react(bob, room, root, "👍")
	sealed := bob.SendEvent(room, "m.room.encrypted", related("m.thread", root, ""))
	sendRelated(bob, room, "m.thread", other, "elsewhere")
	bob.SendEvent(room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "a rich reply", "m.relates_to": map[string]any{"m.in_reply_to": map[string]any{"event_id": root}},
	})
	for path, want := range map[string][]string{
		relationsPath(room, root):                                       {sealed, reaction, edit, reply},
		relationsPath(room, root) + "?dir=b":                            {sealed, reaction, edit, reply},
		relationsPath(room, root) + "?dir=f":                            {reply, edit, reaction, sealed},
		relationsPath(room, root, "m.thread"):                           {sealed, reply},
		relationsPath(room, root, "m.thread", "m.room.message"):         {reply},
		relationsPath(room, root, "m.annotation", "m.reaction"):         {reaction},
		relationsPath(room, root, "m.annotation", "m.room.message"):     {},
		relationsPath(room, root, "org.example"):                        {},
		relationsPath(room, reply):                                      {},
		strings.Replace(relationsPath(room, root), "v1", "unstable", 1): {sealed, reaction, edit, reply},
	} {
		matrixtest.Equal(t, path, relationIDs(alice, path), want)
	}
	got := alice.Do("GET", relationsPath(room, root, "m.thread", "m.room.message"), nil).OK()
	if e := got.Event("chunk", 0); e.RoomID != room || e.Body() != "reply" || e.Sender != bob.UserID {
		t.Errorf("event: %+v", e)
	}
	if strings.Contains(string(got.Body), "recursion_depth") || strings.Contains(string(got.Body), "_batch") {
		t.Errorf("members that nobody asked for: %s", got.Body)
	}
}

func TestRelationsPageByPage(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	before := alice.Sync("").NextBatch()
	root := alice.SendText(room, "root")
	var ids []string
	for i := range 7 {
		ids = append(ids, sendRelated(bob, room, "m.thread", root, fmt.Sprint(i)))
		alice.SendText(room, "between")
	}
	for dir, want := range map[string][]string{"f": ids, "b": reversed(ids)} {
		var got []string
		for from := ""; ; {
			answer := alice.Do("GET", relationsPath(room, root, "m.thread")+"?limit=2&dir="+dir+"&from="+from, nil).OK()
			got = append(got, idsOf(answer.Events("chunk"))...)
			if answer.String("prev_batch") != from {
				t.Errorf("prev_batch %q, want %q", answer.String("prev_batch"), from)
			}
			if from = answer.String("next_batch"); from == "" {
				break
			}
		}
		matrixtest.Equal(t, "pages "+dir, got, want)
	}
	// A token of /sync, and of /messages.
	now := alice.Sync("").NextBatch()
	sendRelated(bob, room, "m.thread", root, "later")
	matrixtest.Equal(t, "from a token of /sync", relationIDs(alice, relationsPath(room, root)+"?limit=2&from="+now), []string{ids[6], ids[5]})
	matrixtest.Equal(t, "to a token of /sync", relationIDs(alice, relationsPath(room, root)+"?dir=f&limit=100&from="+before+"&to="+now), ids)
	start := alice.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=b&limit=3&from="+now, nil).OK().String("end")
	matrixtest.Equal(t, "to a token of /messages", relationIDs(alice, relationsPath(room, root)+"?from="+now+"&to="+start), ids[6:])
	matrixtest.Equal(t, "the wrong way round", relationIDs(alice, relationsPath(room, root)+"?from="+before+"&to="+now), nil)
}

func reversed(list []string) []string {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

func TestRelationsRecurse(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	root := alice.SendText(room, "root")
	one := sendRelated(bob, room, "m.thread", root, "one")
	two := sendRelated(bob, room, "m.reference", one, "two")
	three := sendRelated(bob, room, "m.reference", two, "three")
	four := sendRelated(bob, room, "m.reference", three, "four")
	late := react(alice, room, one, "late")
	path := relationsPath(room, root)
	for query, want := range map[string][]string{
		path + "?recurse=true":                            {late, three, two, one},
		path + "?recurse=true&dir=f":                      {one, two, three, late},
		path + "?org.matrix.msc3981.recurse=true":         {late, three, two, one},
		path + "?recurse=false":                           {one},
		path:                                              {one},
		path + "/m.thread?recurse=true":                   {one},
		path + "/m.reference?recurse=true":                {}, // only by another relation
		relationsPath(room, two) + "?recurse=true":        {four, three},
		path + "?recurse=true&limit=2":                    {late, three},
		path + "/m.thread/m.room.message?recurse=true":    {one},
		path + "/m.thread/m.room.encrypted?recurse=true":  {},
		relationsPath(room, one) + "?recurse=true&dir=f":  {two, three, four, late},
		relationsPath(room, four) + "?recurse=true&dir=f": {},
	} {
		matrixtest.Equal(t, query, relationIDs(alice, query), want)
	}
	if got := alice.Do("GET", path+"?recurse=true", nil).OK().At("recursion_depth"); got != 3.0 {
		t.Errorf("recursion_depth: %v", got)
	}
	if got := alice.Do("GET", path+"?recurse=false", nil).OK().At("recursion_depth"); got != 1.0 {
		t.Errorf("recursion_depth without recursion: %v", got)
	}
	first := alice.Do("GET", path+"?recurse=true&limit=2", nil).OK()
	matrixtest.Equal(t, "second page", relationIDs(alice, path+"?recurse=true&limit=5&from="+first.String("next_batch")), []string{two, one})
}

func TestRelationsThatTheReaderMayNotSee(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := alice.CreateRoom(openRoom)
	alice.SetState(room, "m.room.history_visibility", "", map[string]any{"history_visibility": "joined"})
	early := alice.SendText(room, "early")
	bob.Join(room)
	root := alice.SendText(room, "root")
	one := sendRelated(alice, room, "m.reference", root, "one")
	bob.Do("POST", matrixtest.Path("rooms", room, "leave"), nil).OK()
	missed := sendRelated(alice, room, "m.reference", root, "missed")
	bob.Join(room)
	two := sendRelated(alice, room, "m.reference", root, "two")
	react(alice, room, missed, "to what was missed")
	matrixtest.Equal(t, "while joined", relationIDs(bob, relationsPath(room, root)+"?recurse=true"), []string{two, one})
	bob.Do("GET", relationsPath(room, early), nil).Refused(404, "M_NOT_FOUND")
	bob.Do("GET", relationsPath(room, missed), nil).Refused(404, "M_NOT_FOUND")
	bob.Do("PUT", matrixtest.Path("user", bob.UserID, "account_data", "m.ignored_user_list"), map[string]any{
		"ignored_users": map[string]any{alice.UserID: map[string]any{}},
	}).OK()
	matrixtest.Equal(t, "of an ignored user", relationIDs(bob, relationsPath(room, root)), nil)
}

func TestRedactedRelationIsNone(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	root := alice.SendText(room, "root")
	one, two := react(bob, room, root, "one"), react(bob, room, root, "two")
	bob.Do("POST", matrixtest.Path("rooms", room, "redact", one), `{}`).OK()
	matrixtest.Equal(t, "without the redacted one", relationIDs(alice, relationsPath(room, root)), []string{two})
	alice.Do("POST", matrixtest.Path("rooms", room, "redact", root), `{}`).OK()
	matrixtest.Equal(t, "of a redacted event", relationIDs(alice, relationsPath(room, root)), []string{two})
}

func TestRelationsRefusals(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	root := alice.SendText(room, "root")
	for _, query := range []string{
		"dir=x", "limit=-1", "limit=x", "from=x", "to=x", "from=t1", "recurse=1", "recurse=yes", "org.matrix.msc3981.recurse=x",
	} {
		bob.Do("GET", relationsPath(room, root)+"?"+query, nil).Refused(400, "M_INVALID_PARAM")
	}
	for _, path := range []string{
		relationsPath(room, "$none"), relationsPath(room, "none"), relationsPath("!none:localhost", root),
		relationsPath(alice.CreateRoom(nil), root), relationsPath(bob.CreateRoom(nil), root),
	} {
		bob.Do("GET", path, nil).Refused(404, "M_NOT_FOUND")
	}
	bob.Do("GET", relationsPath("none", root), nil).Refused(400, "M_INVALID_PARAM")
	bob.Do("GET", relationsPath(room, root, "m.\x00"), nil).Refused(400, "M_INVALID_PARAM")
	bob.Do("GET", relationsPath(room, root)+"?limit=0", nil).OK()
	bob.Do("GET", relationsPath(room, root)+"?limit=99999999999999999999", nil).OK()
}

func TestSameReactionTwice(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	root := alice.SendText(room, "root")
	reaction := react(bob, room, root, "👍")
	content := map[string]any{"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": root, "key": "👍"}}
	again := matrixtest.Path("rooms", room, "send", "m.reaction", "again")
	bob.Do("PUT", again, content).Refused(400, "M_DUPLICATE_ANNOTATION")
	react(alice, room, root, "👍")
	bob.Do("POST", matrixtest.Path("rooms", room, "redact", reaction), `{}`).OK()
	bob.Do("PUT", again, content).OK()
	bob.Do("PUT", matrixtest.Path("rooms", room, "send", "m.reaction", "more"), content).Refused(400, "M_DUPLICATE_ANNOTATION")
}
