package matrixtest

import (
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Sync asks once for news since a token, which may be empty. The other parameters of the
// query follow as names and values, such as "timeout", "30000".
func (c *Client) Sync(since string, query ...string) *Response {
	c.T.Helper()
	return c.Do("GET", SyncPath(since, query...), nil).OK()
}

// SyncPath returns the path that Sync asks for.
func SyncPath(since string, query ...string) string {
	values := url.Values{}
	if since != "" {
		values.Set("since", since)
	}
	for pair := range slices.Chunk(query, 2) {
		values.Set(pair[0], pair[1])
	}
	return "/sync?" + values.Encode()
}

const (
	// patience is how long SyncUntil waits in all, and poll for one answer.
	patience = 60 * time.Second
	poll     = 30 * time.Second
)

// SyncUntil asks for news, in long polls that each continue the one before, until an
// answer meets the condition, and returns that answer. The condition sees every answer
// once, in order, so that it may collect from several. The test fails after a minute.
func (c *Client) SyncUntil(since string, condition func(*Response) bool) *Response {
	c.T.Helper()
	for late := time.Now().Add(patience); time.Now().Before(late); {
		answer := c.Sync(since, "timeout", strconv.FormatInt(poll.Milliseconds(), 10))
		if condition(answer) {
			return answer
		}
		since = answer.NextBatch()
	}
	c.T.Fatalf("%s: nothing in %v of /sync was what the test waits for", c.UserID, patience)
	return nil
}

// NextBatch returns the token of an answer of /sync.
func (r *Response) NextBatch() string {
	r.t.Helper()
	return r.String("next_batch")
}

// Timeline lists the events of a joined room's timeline in an answer of /sync.
func (r *Response) Timeline(roomID string) []Event {
	r.t.Helper()
	return r.Events("rooms", "join", roomID, "timeline", "events")
}

// Shows returns the condition that the timeline of a joined room has an event.
func Shows(roomID, eventID string) func(*Response) bool {
	return func(r *Response) bool {
		return slices.ContainsFunc(r.Timeline(roomID), func(e Event) bool { return e.ID == eventID })
	}
}
