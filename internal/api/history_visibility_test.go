package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// phases is how many messages a room of the test of history visibility has. What changes,
// changes between them.
const phases = 5

// visibilities are how the history visibility of a room goes from phase to phase.
var visibilities = map[string][phases]string{
	"world_readable": {0: "world_readable"},
	"shared":         {0: "shared"},
	"invited":        {0: "invited"},
	"joined":         {0: "joined"},
	"changing":       {"joined", "shared", "invited", "world_readable", "joined"},
	"opened late":    {0: "joined", 4: "shared"},
	"closed late":    {0: "shared", 3: "invited"},
}

// memberships are how users stand to the room from phase to phase, by their names.
var memberships = map[string][phases]string{
	"stranger": {},
	"invitee":  {2: "invite"},
	"decliner": {1: "invite", 3: "leave"},
	"latecomer": {
		2: "invite", 3: "join",
	},
	"newcomer": {4: "join"},
	"leaver":   {0: "join", 3: "leave"},
	"returner": {0: "join", 1: "leave", 4: "join"},
	"banned":   {1: "join", 2: "ban"},
	"pardoned": {1: "join", 2: "ban", 3: "leave", 4: "join"},
}

// held fills in what has not changed since the phase before.
func held(steps [phases]string, first string) [phases]string {
	for i, step := range steps {
		if step == "" {
			steps[i] = first
		}
		first = steps[i]
	}
	return steps
}

// mayRead is the rule of the specification for the message of each phase: client-server
// API, "Room history visibility", Server behaviour.
func mayRead(visibility, membership [phases]string) (may [phases]bool) {
	visibility, membership = held(visibility, ""), held(membership, "leave")
	for i := range phases {
		switch {
		case visibility[i] == "world_readable", membership[i] == "join":
			may[i] = true
		case visibility[i] == "shared":
			may[i] = slices.Contains(membership[i:], "join")
		case visibility[i] == "invited":
			may[i] = membership[i] == "invite"
		}
	}
	return may
}

// past is a room with a message in each phase, as one reader is to see it.
type past struct {
	*testing.T
	reader *matrixtest.Client
	room   string
	ids    [phases]string
	may    [phases]bool
	// knows reports that the reader has, or had, something to do with the room.
	knows bool
}

// readable lists the texts of the messages that may be read, oldest first.
func (p *past) readable() []string {
	texts := []string{}
	for i, may := range p.may {
		if may {
			texts = append(texts, phaseText(i))
		}
	}
	return texts
}

func phaseText(phase int) string { return fmt.Sprint("message of phase ", phase) }

func (p *past) get(query string, path ...string) *matrixtest.Response {
	p.Helper()
	return p.reader.As(p.T).Do("GET", matrixtest.Path(append([]string{"rooms", p.room}, path...)...)+query, nil)
}

// readsOne checks that what an endpoint returns for each event is there if and only if the
// event may be read.
func (p *past) readsOne(what string, ask func(id string) *matrixtest.Response) {
	p.Helper()
	for i, id := range p.ids {
		answer := ask(id)
		switch {
		case p.may[i] && answer.Status != http.StatusOK:
			p.Errorf("%s of phase %d: %d %s, and it may be read", what, i, answer.Status, answer.Body)
		case !p.may[i] && (answer.Status != http.StatusNotFound || answer.Errcode() != "M_NOT_FOUND"):
			p.Errorf("%s of phase %d: %d %s, and it is not for the reader", what, i, answer.Status, answer.Body)
		}
		p.leaksNothing(what, answer)
	}
}

// leaksNothing checks that no text stands in an answer that the reader may not read.
func (p *past) leaksNothing(what string, answer *matrixtest.Response) {
	p.Helper()
	for i, may := range p.may {
		if !may && strings.Contains(string(answer.Body), phaseText(i)) {
			p.Errorf("%s shows phase %d: %s", what, i, answer.Body)
		}
	}
}

// shows compares the texts of events, oldest first, with those that may be read.
func (p *past) shows(what string, events []matrixtest.Event) {
	p.Helper()
	if diff := cmp.Diff(p.readable(), matrixtest.Bodies(events)); diff != "" {
		p.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// readers are the endpoints that read history, each with a check of it.
var readers = map[string]func(p *past){
	"event": func(p *past) {
		p.readsOne("the event", func(id string) *matrixtest.Response { return p.get("", "event", id) })
	},
	"context": func(p *past) {
		p.readsOne("the context", func(id string) *matrixtest.Response { return p.get("?limit=100", "context", id) })
		for i, id := range p.ids {
			if p.may[i] {
				answer := p.get("?limit=100", "context", id).OK()
				before := answer.Events("events_before")
				slices.Reverse(before)
				p.shows("the context", slices.Concat(before, []matrixtest.Event{answer.Event("event")}, answer.Events("events_after")))
			}
		}
	},
	"messages": func(p *past) {
		for _, dir := range []string{"f", "b"} {
			answer := p.get("?limit=100&dir="+dir, "messages")
			p.leaksNothing("/messages", answer)
			events := answer.Events("chunk")
			if dir == "b" {
				slices.Reverse(events)
			}
			if len(p.readable()) > 0 || answer.Status == http.StatusOK {
				p.shows("/messages", events)
			}
		}
	},
	"relations": func(p *past) {
		p.readsOne("what is related", func(id string) *matrixtest.Response {
			return p.reader.As(p.T).Do("GET", relationsPath(p.room, id, "m.annotation"), nil)
		})
		for i, id := range p.ids {
			if p.may[i] && len(relationIDs(p.reader.As(p.T), relationsPath(p.room, id, "m.annotation"))) != 1 {
				p.Errorf("the reaction of phase %d is missing", i)
			}
		}
	},
	"threads": func(p *past) {
		answer := p.reader.As(p.T).Do("GET", threadsPath(p.room, "limit", "100"), nil)
		p.leaksNothing("/threads", answer)
		want := []string{}
		for i := range p.ids {
			if p.may[i] {
				want = append([]string{phaseText(i)}, want...)
			}
		}
		if p.may[0] && p.may[phases-1] { // which have a reply in common
			want = slices.Concat(want[len(want)-1:], want[:len(want)-1])
		}
		if diff := cmp.Diff(want, matrixtest.Bodies(answer.Events("chunk"))); diff != "" {
			p.Errorf("/threads (-want +got):\n%s", diff)
		}
	},
	"timestamp_to_event": func(p *past) {
		events := p.get("?limit=100&dir=f", "messages").Events("chunk")
		for query, at := range map[string]int{"?dir=f&ts=0": 0, "?dir=b&ts=9000000000000": len(events) - 1} {
			answer := p.reader.As(p.T).Do("GET", "/_matrix/client/v1"+matrixtest.Path("rooms", p.room, "timestamp_to_event")+query, nil)
			switch {
			case len(events) > 0 && answer.String("event_id") != events[at].ID:
				p.Errorf("%s: %s, want %s", query, answer.Body, events[at].ID)
			case len(events) == 0 && answer.Status == http.StatusOK:
				p.Errorf("%s: %s, and there is nothing to read", query, answer.Body)
			}
		}
	},
	"search": func(p *past) {
		answer := searchFor(p.reader.As(p.T), "", map[string]any{
			"search_term": "message phase", "order_by": "recent", "filter": map[string]any{"rooms": []string{p.room}},
		}).OK()
		p.leaksNothing("/search", answer)
		results, _ := answer.At("search_categories", "room_events", "results").([]any)
		var events []matrixtest.Event
		for i := range results {
			events = append(events, answer.Event("search_categories", "room_events", "results", i, "result"))
		}
		slices.Reverse(events)
		if p.knows { // nobody searches rooms of others
			p.shows("/search", events)
		}
	},
}

// All endpoints that read history agree on what a user may read, for each visibility and
// for each way of having been in the room.
func TestAllReadersOfHistoryAgreeOnVisibility(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	anyone := newServer(t)
	alice := anyone.Register("alice", "wordpass")
	users := map[string]*matrixtest.Client{}
	for name := range memberships {
		users[name] = anyone.Register(name, "wordpass")
	}
	rooms, ids := map[string]string{}, map[string][phases]string{}
	for name, visibility := range visibilities {
		rooms[name] = alice.CreateRoom(openRoom)
		ids[name] = live(alice, users, rooms[name], visibility)
	}
	for name, visibility := range visibilities {
		for who, membership := range memberships {
			p := past{reader: users[who], room: rooms[name], ids: ids[name], may: mayRead(visibility, membership), knows: who != "stranger"}
			for endpoint, check := range readers {
				t.Run(name+"/"+who+"/"+endpoint, func(t *testing.T) {
					p := p
					p.T = t
					check(&p)
				})
			}
		}
	}
}

// live takes a room through its phases. In each phase there is a message with a reaction and a
// reply in its thread. The first message gets another reply at the end.
func live(alice *matrixtest.Client, users map[string]*matrixtest.Client, room string, visibility [phases]string) (ids [phases]string) {
	alice.T.Helper()
	for phase := range phases {
		if visibility[phase] != "" {
			alice.SetState(room, "m.room.history_visibility", "", map[string]any{"history_visibility": visibility[phase]})
		}
		for name, user := range users {
			switch memberships[name][phase] {
			case "join":
				user.Join(room)
			case "leave":
				if held(memberships[name], "")[phase-1] == "ban" {
					change(alice, room, "unban", whom(user)).OK()
				} else {
					change(user, room, "leave", nil).OK()
				}
			case "invite", "ban":
				change(alice, room, memberships[name][phase], whom(user)).OK()
			}
		}
		ids[phase] = alice.SendText(room, phaseText(phase))
		react(alice, room, ids[phase], "a")
		alice.SendEvent(room, "org.example.reply", related("m.thread", ids[phase], "reply"))
	}
	alice.SendEvent(room, "org.example.reply", related("m.thread", ids[0], "late reply"))
	return ids
}
