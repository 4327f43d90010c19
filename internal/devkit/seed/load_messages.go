package seed

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
)

// messages sends the messages of a room.
func (f *filler) messages(ctx context.Context) error {
	for i := range f.room.Messages {
		if err := f.message(ctx, &f.room.Messages[i], fmt.Sprintf("%s.messages[%d]", f.key, i)); err != nil {
			return err
		}
	}
	return nil
}

// message sends one message, as often as it is repeated.
func (f *filler) message(ctx context.Context, m *Message, key string) error {
	from := f.when(m.At)
	step := f.spread(m, from)
	c, err := f.compose(ctx, m)
	if err != nil {
		return f.failed(m.Line, key, err)
	}
	id := m.ID.Value
	if m.Thread.Value != "" && id == "" {
		id = latestOf + m.Thread.Value
	}
	for n := range max(1, m.Repeat) {
		raw, err := c.number(n + 1)
		if err != nil {
			return f.failed(m.Line, key, err)
		}
		ts := from + int64(n)*step
		err = f.send(ctx, place{line: m.Line, key: key, id: id}, rooms.Posting{
			UserID: f.user(m.Sender.Value), Type: c.typ, StateKey: m.StateKey, Content: raw, Timestamp: &ts,
		})
		if err != nil {
			return err
		}
	}
	if m.Thread.Value != "" {
		f.latest[m.Thread.Value] = id
	}
	return nil
}

// latestOf begins the names of events of threads that have none in the file. No other name begins so.
const latestOf = "$thread:"

// composed is an event that is ready but for its number.
type composed struct {
	typ     string
	content map[string]any
	raw     json.RawMessage // of the content, if all events of a repetition are the same
}

// number returns the content with its number in place of {n}.
func (c *composed) number(n int) (json.RawMessage, error) {
	if c.raw != nil {
		return c.raw, nil
	}
	raw, err := matrix.EncodeJSON(c.content)
	if err != nil || !strings.Contains(string(raw), "{n}") {
		c.raw = raw
		return raw, err
	}
	return json.RawMessage(strings.ReplaceAll(string(raw), "{n}", strconv.Itoa(n))), nil
}

// compose makes the content of a message.
func (f *filler) compose(ctx context.Context, m *Message) (*composed, error) {
	c := &composed{typ: m.Type}
	var err error
	switch {
	case m.Reaction != "":
		err = f.reaction(ctx, m, c)
	case m.Redact.Value != "":
		err = f.redaction(ctx, m, c)
	case m.Content != nil:
		err = json.Unmarshal(m.Content, &c.content)
	case m.File.Value != "":
		var file uploaded
		if file, err = f.upload(ctx, f.user(m.Sender.Value), m.File.Value); err == nil {
			c.content = file.fileContent(m.Body)
		}
	default:
		c.content = map[string]any{"msgtype": "m.text", "body": m.Body}
	}
	if c.typ == "" {
		c.typ = "m.room.message"
	}
	if err != nil {
		return nil, err
	}
	return c, f.relate(ctx, m, c)
}

func (f *filler) reaction(ctx context.Context, m *Message, c *composed) error {
	target, err := f.event(ctx, m.To.Value)
	c.typ = "m.reaction"
	c.content = map[string]any{"m.relates_to": map[string]any{"rel_type": event.RelAnnotation, "event_id": target, "key": m.Reaction}}
	return err
}

func (f *filler) redaction(ctx context.Context, m *Message, c *composed) error {
	target, err := f.event(ctx, m.Redact.Value)
	c.typ = event.TypeRedaction
	c.content = map[string]any{"redacts": target}
	if m.Reason != "" {
		c.content["reason"] = m.Reason
	}
	return err
}

// relate makes a message a reply, part of a thread, or an edit.
func (f *filler) relate(ctx context.Context, m *Message, c *composed) error {
	relation := map[string]any{}
	if m.Edit.Value != "" {
		target, err := f.event(ctx, m.Edit.Value)
		if err != nil {
			return err
		}
		changed := c.content
		c.content = map[string]any{"m.new_content": changed}
		for key, value := range changed {
			c.content[key] = value
		}
		if body, ok := changed["body"].(string); ok {
			c.content["body"] = "* " + body
		}
		relation["rel_type"], relation["event_id"] = event.RelReplace, target
	}
	replied := m.Reply.Value
	if m.Thread.Value != "" {
		root, err := f.event(ctx, m.Thread.Value)
		if err != nil {
			return err
		}
		relation["rel_type"], relation["event_id"] = event.RelThread, root
		if replied == "" {
			// For clients without threads: a reply to the latest of the thread.
			relation["is_falling_back"] = true
			if replied = f.latest[m.Thread.Value]; replied == "" {
				replied = m.Thread.Value
			}
		}
	}
	if replied != "" {
		target, err := f.event(ctx, replied)
		if err != nil {
			return err
		}
		relation["m.in_reply_to"] = map[string]any{"event_id": target}
	}
	if len(relation) > 0 {
		c.content["m.relates_to"] = relation
	}
	return nil
}
