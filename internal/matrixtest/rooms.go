package matrixtest

import "crypto/rand"

// Event is an event as clients get it. StateKey is nil where it is no state event.
type Event struct {
	ID             string         `json:"event_id"`
	RoomID         string         `json:"room_id"`
	Type           string         `json:"type"`
	Sender         string         `json:"sender"`
	StateKey       *string        `json:"state_key"`
	Redacts        string         `json:"redacts"`
	OriginServerTS int64          `json:"origin_server_ts"`
	Content        map[string]any `json:"content"`
	Unsigned       map[string]any `json:"unsigned"`
}

// Body returns the text of a message, and "" if it has none.
func (e Event) Body() string {
	text, _ := e.Content["body"].(string)
	return text
}

// CreateRoom makes a room with the body of POST /createRoom, which may be nil,
// and returns its ID.
func (c *Client) CreateRoom(body any) (roomID string) {
	c.T.Helper()
	return c.Do("POST", "/createRoom", body).OK().String("room_id")
}

// Join joins a room by its ID or an alias, and returns its ID.
func (c *Client) Join(roomIDOrAlias string) (roomID string) {
	c.T.Helper()
	return c.Do("POST", Path("join", roomIDOrAlias), nil).OK().String("room_id")
}

// SendText sends a text message with a transaction ID of its own, and returns the
// event's ID.
func (c *Client) SendText(roomID, text string) (eventID string) {
	c.T.Helper()
	return c.SendEvent(roomID, "m.room.message", map[string]any{"msgtype": "m.text", "body": text})
}

// SendEvent is SendText for any message event.
func (c *Client) SendEvent(roomID, eventType string, content any) (eventID string) {
	c.T.Helper()
	return c.Do("PUT", Path("rooms", roomID, "send", eventType, rand.Text()), content).OK().String("event_id")
}

// SetState sets an entry of a room's state, and returns the event's ID.
func (c *Client) SetState(roomID, eventType, stateKey string, content any) (eventID string) {
	c.T.Helper()
	return c.Do("PUT", Path("rooms", roomID, "state", eventType, stateKey), content).OK().String("event_id")
}

// Events decodes the list of events at a place of the answer. It is empty where there is
// no list.
func (r *Response) Events(place ...any) []Event {
	r.t.Helper()
	var events []Event
	r.into(r.At(place...), &events)
	return events
}

// Event decodes the event at a place of the answer.
func (r *Response) Event(place ...any) Event {
	r.t.Helper()
	var event Event
	r.into(r.At(place...), &event)
	return event
}

// Bodies lists the texts of those events that are messages.
func Bodies(events []Event) []string {
	texts := []string{}
	for _, e := range events {
		if e.Type == "m.room.message" {
			texts = append(texts, e.Body())
		}
	}
	return texts
}
