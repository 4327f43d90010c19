package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

const (
	crashRooms   = 3
	crashSenders = 9
	crashReaders = 3
	crashRounds  = 3
	// loadPatience is how long a server may take that has to come back first.
	loadPatience = 2 * time.Minute
)

// sender sends one message after the other. What it was not told to be sent, it sends again later, with the
// same transaction ID.
type sender struct {
	client *matrixtest.Client
	room   string
	name   string
	acked  []string // the IDs of its events, as the server has told them
}

// text returns the text of the n-th message, which is also its transaction ID.
func (s *sender) text(n int) string { return fmt.Sprintf("%s-%d", s.name, n) }

// errAway is what a request gets whose fate its client cannot know.
var errAway = errors.New("the server, or its database, is away")

// next sends the next message, once.
func (s *sender) next(t *testing.T) error {
	text := s.text(len(s.acked))
	request := s.client.Request(http.MethodPut, matrixtest.Path("rooms", s.room, "send", "m.room.message", text),
		map[string]any{"msgtype": "m.text", "body": text})
	response, err := s.client.HTTP.Do(request)
	if err != nil {
		return errAway
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return errAway
	}
	var answer struct {
		EventID string `json:"event_id"`
	}
	switch {
	case response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") != "":
		return errAway
	case response.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.EventID == "":
		t.Errorf("%s: %s: %s", text, response.Status, body)
		return errAway
	}
	s.acked = append(s.acked, answer.EventID)
	return nil
}

// insist sends the next message, again and again while the answer is to come
// back later: connections that died with the database are found out one by one.
func (s *sender) insist(t *testing.T) {
	t.Helper()
	matrixtest.Until(t, s.name+": the server is back", func() bool { return s.next(t) == nil })
}

// reader follows all rooms by /sync, from one token to the next.
type reader struct {
	client *matrixtest.Client
	since  string
	seen   map[string][]string // texts, by room
}

// finish reads what is left, again and again while the answer is to come later.
func (r *reader) finish(t *testing.T) {
	t.Helper()
	matrixtest.Until(t, "/sync has told everything", func() bool {
		more, err := r.next(t.Context(), t, "0")
		return err == nil && !more
	})
}

const readerFilter = `{"room":{"timeline":{"limit":1000,"types":["m.room.message"]}}}`

// next asks once for what is new, and reports whether there was something.
func (r *reader) next(ctx context.Context, t *testing.T, timeout string) (bool, error) {
	request := r.client.Request(http.MethodGet, matrixtest.SyncPath(r.since, "filter", readerFilter, "timeout", timeout), nil)
	response, err := r.client.HTTP.Do(request.WithContext(ctx))
	if err != nil {
		return false, errAway
	}
	var answer struct {
		NextBatch string `json:"next_batch"`
		Rooms     struct {
			Join map[string]struct {
				Timeline struct {
					Events  []matrixtest.Event
					Limited bool
				}
			}
		}
	}
	err = json.NewDecoder(response.Body).Decode(&answer)
	if err = errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusOK {
		return false, errAway
	}
	r.since = answer.NextBatch
	for room, joined := range answer.Rooms.Join {
		if joined.Timeline.Limited {
			t.Errorf("the timeline of %s has a gap", room)
		}
		r.seen[room] = append(r.seen[room], matrixtest.Bodies(joined.Timeline.Events)...)
	}
	return len(answer.Rooms.Join) > 0, nil
}

// crash is a server under load that is killed, more than once.
type crash struct {
	senders []*sender
	readers []*reader
	rooms   []string
}

// newCrash makes the users and the rooms.
func newCrash(t *testing.T, d *daemon) *crash {
	t.Helper()
	anyone := d.client(t)
	c := &crash{}
	for i := range crashReaders {
		r := &reader{client: anyone.Register(fmt.Sprintf("reader%d", i), "wordpass"), seen: map[string][]string{}}
		c.readers = append(c.readers, r)
	}
	for range crashRooms {
		room := c.readers[0].client.CreateRoom(map[string]any{"preset": "public_chat"})
		for _, r := range c.readers[1:] {
			r.client.Join(room)
		}
		c.rooms = append(c.rooms, room)
	}
	for i := range crashSenders {
		s := &sender{name: fmt.Sprintf("sender%d", i), room: c.rooms[i%crashRooms]}
		s.client = anyone.Register(s.name, "wordpass")
		s.client.Join(s.room)
		c.senders = append(c.senders, s)
	}
	for _, r := range c.readers {
		r.since = r.client.Sync("").NextBatch()
	}
	return c
}

// load has everybody send and read. It calls kill after some random number of messages, and returns when all
// know how their last requests have ended.
func (c *crash) load(t *testing.T, d *daemon, kill func()) {
	t.Helper()
	var all sync.WaitGroup
	var count, over atomic.Int64
	fatal := int64(50 + rand.IntN(300)) //nolint:gosec // any moment will do
	now := make(chan struct{})
	for _, s := range c.senders {
		s.client.BaseURL = d.http
		all.Go(func() {
			for over.Load() == 0 { // what the last round has broken may still fail
				if s.next(t) == nil && count.Add(1) == fatal {
					close(now)
				}
			}
		})
	}
	reading, stopReading := context.WithCancel(t.Context())
	var reads sync.WaitGroup
	for _, r := range c.readers {
		r.client.BaseURL = d.http
		reads.Go(func() {
			for reading.Err() == nil {
				_, _ = r.next(reading, t, "30000") // what has failed is asked again, from the same token
			}
		})
	}
	select {
	case <-now:
	case <-time.After(loadPatience):
		t.Errorf("only %d of %d messages were taken in %v", count.Load(), fatal, loadPatience)
	}
	kill()
	over.Store(1)
	all.Wait()
	stopReading()
	reads.Wait()
}

// finish sends what nobody knows the fate of, and reads what nobody has read yet.
func (c *crash) finish(t *testing.T, d *daemon) {
	t.Helper()
	for _, s := range c.senders {
		s.client.BaseURL = d.http
		s.insist(t)
	}
	for _, r := range c.readers {
		r.client.BaseURL = d.http
		r.finish(t)
	}
}

// check compares what the rooms hold with what was acknowledged and what was read.
func (c *crash) check(t *testing.T) {
	t.Helper()
	for _, room := range c.rooms {
		messages := historyBy(c.readers[0].client, room, getPatiently)
		for i, r := range c.readers {
			if diff := cmp.Diff(matrixtest.Bodies(messages), r.seen[room]); diff != "" {
				t.Errorf("%s: /sync has not given the history to reader %d (-history +/sync):\n%s", room, i, diff)
			}
		}
		sent := map[string][]string{} // IDs by sender, in the order of the room
		for _, e := range messages {
			name, _, _ := strings.Cut(e.Body(), "-")
			sent[name] = append(sent[name], e.ID)
		}
		for _, s := range c.senders {
			if s.room != room {
				continue
			}
			// In the order in which they were sent, each once, and nothing besides.
			if diff := cmp.Diff(s.acked, sent[s.name]); diff != "" {
				t.Errorf("%s: not what was acknowledged to %s (-acknowledged +there):\n%s", room, s.name, diff)
			}
		}
	}
}

// history reads all messages of a room, oldest first.
func history(c *matrixtest.Client, room string) []matrixtest.Event {
	c.T.Helper()
	return historyBy(c, room, func(c *matrixtest.Client, path string) *matrixtest.Response { return c.Do(http.MethodGet, path, nil) })
}

// getPatiently asks again and again while the answer is to come back later: connections that
// died with the database are found out one by one.
func getPatiently(c *matrixtest.Client, path string) (answer *matrixtest.Response) {
	c.T.Helper()
	matrixtest.Until(c.T, path+": the server is back", func() bool {
		answer = c.Do(http.MethodGet, path, nil)
		return answer.Status != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == ""
	})
	return answer
}

// historyBy returns history, with each page read by get.
func historyBy(
	c *matrixtest.Client, room string, get func(c *matrixtest.Client, path string) *matrixtest.Response,
) []matrixtest.Event {
	c.T.Helper()
	var events []matrixtest.Event
	for from := ""; ; {
		page := get(c, matrixtest.Path("rooms", room, "messages")+"?dir=b&limit=500&from="+from).OK()
		events = append(events, page.Events("chunk")...)
		if from = page.String("end"); from == "" {
			break
		}
	}
	slices.Reverse(events)
	return slices.DeleteFunc(events, func(e matrixtest.Event) bool { return e.Type != "m.room.message" })
}

func TestKilledUnderLoadLosesNothingAndRepeatsNothing(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	for name, test := range map[string]struct {
		kill     func(*testing.T, *daemon)
		survives bool
	}{
		"server": {kill: func(_ *testing.T, d *daemon) { d.end(syscall.SIGKILL) }},
		"server and PostgreSQL": {kill: func(t *testing.T, d *daemon) {
			d.killPostgres(t)
			d.end(syscall.SIGKILL)
		}},
		"PostgreSQL":                {kill: func(t *testing.T, d *daemon) { d.killPostgres(t) }, survives: true},
		"postmaster of PostgreSQL":  {kill: func(t *testing.T, d *daemon) { signalProcess(t, d.postmaster(t), syscall.SIGKILL) }, survives: true},
		"session of PostgreSQL":     {kill: func(t *testing.T, d *daemon) { signalProcess(t, d.anySession(t), syscall.SIGKILL) }, survives: true},
		"PostgreSQL, in good order": {kill: func(t *testing.T, d *daemon) { signalProcess(t, d.postmaster(t), syscall.SIGINT) }, survives: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := dataFolder(t)
			environ := []string{"HOMESERVER_RATE_LIMITS_ENABLED=false", "HOMESERVER_LOG_LEVEL=warn"}
			d := serveFrom(t, dir, environ...)
			c := newCrash(t, d)
			for range crashRounds {
				c.load(t, d, func() { test.kill(t, d) })
				if test.survives {
					d.untilHealthy(t)
				} else {
					d = serveFrom(t, dir, environ...)
				}
			}
			c.finish(t, d)
			c.check(t)
			if code := d.end(syscall.SIGTERM); code != exitOK {
				t.Errorf("code %d: %s", code, d.stderr)
			}
		})
	}
}
