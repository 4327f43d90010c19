package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// listener is a client that follows one room by /sync.
type listener struct {
	*client
	room, since string
	seen        []string // the events of the room, in the order of their delivery
}

// Members come lazily, as clients have it. At first little is wanted of the room;
// later nothing may be left out, however much comes at once.
const (
	firstFilter = `{"room":{"timeline":{"limit":1},"state":{"lazy_load_members":true}}}`
	laterFilter = `{"room":{"timeline":{"limit":1000},"state":{"lazy_load_members":true}}}`
)

// syncPath asks for what is new since a token, which may be empty, and waits for
// it up to the timeout. Presence is left alone.
func syncPath(since, filter string, timeout time.Duration) string {
	query := url.Values{"timeout": {fmt.Sprint(timeout.Milliseconds())}, "set_presence": {"offline"}}
	if since != "" {
		query.Set("since", since)
	}
	if filter != "" {
		query.Set("filter", filter)
	}
	return api + "/sync?" + query.Encode()
}

// ask sends a request for what is new in the room, to be followed by hear.
func (l *listener) ask(timeout time.Duration) error {
	filter := laterFilter
	if l.since == "" {
		filter = firstFilter
	}
	return l.send(http.MethodGet, syncPath(l.since, filter, timeout), "")
}

// heard is an answer of /sync, and when it came.
type heard struct {
	content []byte
	at      time.Time
}

// hear reads the answer, without looking into it.
func (l *listener) hear() (heard, error) {
	content, err := l.receive("GET /sync")
	return heard{content, time.Now()}, err
}

// hearAll begins to read the answers of all, and returns what waits for them.
func hearAll(list []*listener) (await func() ([]heard, error)) {
	answers := make([]heard, len(list))
	var g errgroup.Group
	for i, l := range list {
		g.Go(func() (err error) {
			answers[i], err = l.hear()
			return err
		})
	}
	return func() ([]heard, error) { return answers, g.Wait() }
}

// note takes up what an answer says.
func (l *listener) note(answer []byte) error {
	var parsed struct {
		NextBatch string `json:"next_batch"`
		Rooms     struct {
			Join map[string]struct {
				Timeline struct {
					Limited bool `json:"limited"`
					Events  []struct {
						ID string `json:"event_id"`
					} `json:"events"`
				} `json:"timeline"`
			} `json:"join"`
		} `json:"rooms"`
	}
	if err := decode(answer, &parsed); err != nil {
		return err
	}
	timeline := parsed.Rooms.Join[l.room].Timeline
	if timeline.Limited && l.since != "" {
		return fmt.Errorf("/sync since %s leaves out events of the room", l.since)
	}
	for _, e := range timeline.Events {
		l.seen = append(l.seen, e.ID)
	}
	l.since = parsed.NextBatch
	return nil
}

// catchUp takes up what there is now without waiting, and forgets it.
func (l *listener) catchUp() error {
	if err := l.ask(0); err != nil {
		return err
	}
	answer, err := l.hear()
	if err != nil {
		return err
	}
	err = l.note(answer.content)
	l.seen = nil
	return err
}

// listeners returns clients of users who follow a room, beginning now.
func (h *house) listeners(ctx context.Context, users []user, room string) ([]*listener, error) {
	list := make([]*listener, 0, len(users))
	for _, u := range users {
		c, err := dial(ctx, h.server.address, u.token)
		if err != nil {
			closeListeners(list)
			return nil, err
		}
		l := &listener{client: c, room: room}
		list = append(list, l)
		if err := l.catchUp(); err != nil {
			closeListeners(list)
			return nil, err
		}
	}
	return list, nil
}

func closeListeners(list []*listener) {
	for _, l := range list {
		l.close()
	}
}

// onceInOrder checks that everybody has seen each of the messages exactly once,
// all in the same order, and those of one speaker in the order of their answers.
func onceInOrder(sent [][]string, list []*listener) error {
	first := list[0].seen
	place := make(map[string]int, len(first))
	for i, id := range first {
		if _, twice := place[id]; twice {
			return fmt.Errorf("%s was delivered twice", id)
		}
		place[id] = i
	}
	total := 0
	for _, messages := range sent {
		total += len(messages)
		last := -1
		for _, id := range messages {
			i, ok := place[id]
			if !ok {
				return fmt.Errorf("%s was acknowledged and never delivered", id)
			}
			if i < last {
				return fmt.Errorf("%s was delivered before a message that was acknowledged earlier", id)
			}
			last = i
		}
	}
	if total != len(first) {
		return fmt.Errorf("%d events were delivered instead of %d", len(first), total)
	}
	for i, l := range list {
		if !slices.Equal(l.seen, first) {
			return fmt.Errorf("client %d saw other events, or in another order, than the first one", i)
		}
	}
	return nil
}
