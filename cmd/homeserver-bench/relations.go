package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// relating measures reading a room in which each second event is related to the one before,
// beside a room in which none is.
type relating struct {
	h              *house
	reader         user
	plain, related string
	popular        string // an event with a page of reactions
}

func newRelating(h *house) *family {
	r := &relating{h: h}
	return &family{
		key: "relations", name: "Reading a room in which each second event is a reaction, an edit or a reply in a thread", prepare: r.prepare,
		ceiling: "the same request for the same room without relations; for /relations it is /messages there",
		cases: []testCase{
			{name: "/messages", run: r.messages},
			{name: "/sync", run: r.sync},
			{name: "/relations", run: r.relations},
			{name: "/messages, older than the live window", run: r.messages, restart: true},
			{name: "/sync, older than the live window", run: r.sync},
		},
	}
}

// prepare makes both rooms, and in a third one an event with many reactions.
func (r *relating) prepare(ctx context.Context) error {
	users, err := r.h.accounts(ctx, "relater", 1)
	if err != nil {
		return err
	}
	r.reader = users[0]
	c, err := dial(ctx, r.h.server.address, r.reader.token)
	if err != nil {
		return err
	}
	defer c.close()
	for _, room := range []*string{&r.plain, &r.related} {
		if *room, err = c.createRoom(); err != nil {
			return err
		}
		if err := r.talk(c, *room, room == &r.related); err != nil {
			return err
		}
	}
	return r.react(c)
}

// relations are how events are related to the one before, by turns, and their types.
var relations = []struct{ evType, relType, more string }{
	{"m.reaction", "m.annotation", ""},
	{"m.room.message", "m.replace", `,"m.new_content":{"msgtype":"m.text","body":"a message that was edited"}`},
	{"m.room.message", "m.thread", ""},
}

// talk fills a room, each second event of which is related to the one before, or as long.
func (r *relating) talk(c *client, room string, related bool) error {
	for i := range r.h.size.related / 2 {
		root, err := c.say(room, fmt.Sprint("root", i))
		if err != nil {
			return err
		}
		kind, target := relations[i%len(relations)], "m.relates_to"
		if !related {
			target = "m.related_to"
		}
		content := fmt.Sprintf(`{"msgtype":"m.text","body":"a message that is related","%s":{"event_id":%q,"key":"+1","rel_type":%q}%s}`,
			target, root, kind.relType, kind.more)
		if err := c.sendEvent(room, kind.evType, fmt.Sprint("child", i), content); err != nil {
			return err
		}
	}
	return nil
}

// react sends a page of reactions to one event.
func (r *relating) react(c *client) error {
	room, err := c.createRoom()
	if err != nil {
		return err
	}
	id, err := c.say(room, "popular")
	if err != nil {
		return err
	}
	for i := range pageEvents {
		content := fmt.Sprintf(`{"m.relates_to":{"event_id":%q,"key":"%d","rel_type":"m.annotation"}}`, id, i)
		if err := c.sendEvent(room, "m.reaction", fmt.Sprint("reaction", i), content); err != nil {
			return err
		}
	}
	r.popular = "/_matrix/client/v1/rooms/" + url.PathEscape(room) + "/relations/" + url.PathEscape(id)
	return nil
}

// sendEvent sends an event with a transaction ID that the caller never repeats.
func (c *client) sendEvent(roomID, evType, txn, content string) error {
	_, err := c.do(http.MethodPut, api+"/rooms/"+url.PathEscape(roomID)+"/send/"+evType+"/"+txn, content)
	return err
}

func (r *relating) messages(ctx context.Context) ([]Figure, error) {
	return r.beside(ctx, messagesPath(r.related, "", pageEvents), messagesPath(r.plain, "", pageEvents))
}

// sync asks for one room, whose timeline is limited.
func (r *relating) sync(ctx context.Context) ([]Figure, error) {
	path := func(room string) string {
		return syncPath("", fmt.Sprintf(`{"room":{"rooms":[%q],"timeline":{"limit":%d}}}`, room, pageEvents), 0)
	}
	return r.beside(ctx, path(r.related), path(r.plain))
}

func (r *relating) relations(ctx context.Context) ([]Figure, error) {
	return r.beside(ctx, fmt.Sprintf("%s?limit=%d", r.popular, pageEvents), messagesPath(r.plain, "", pageEvents))
}

// beside makes two requests again and again, by turns.
func (r *relating) beside(ctx context.Context, path, ceiling string) ([]Figure, error) {
	list, err := r.h.connections(ctx, []user{r.reader, r.reader})
	if err != nil {
		return nil, err
	}
	defer closeAll(list)
	m, y, err := r.h.race(ctx, 1, repeat(list[0], path), repeat(list[1], ceiling))
	return answering(&m, &y, y.used.server), err
}
