package seed

import (
	"fmt"
	"strings"
)

// maxRepeat bounds how many events one message makes.
const maxRepeat = 1_000_000

// messages checks the events of a room, which may name those before them.
func (c *checker) messages(r *Room, key string) {
	ids := map[string]bool{}
	for i := range r.State {
		m, at := &r.State[i], fmt.Sprintf("%s.state[%d]", key, i)
		if m.StateKey == nil {
			m.StateKey = new(string)
		}
		if m.Sender.Value == "" {
			m.Sender = r.Creator
		}
		c.message(m, at, ids)
	}
	for i := range r.Messages {
		c.message(&r.Messages[i], fmt.Sprintf("%s.messages[%d]", key, i), ids)
	}
	for i := range r.Receipts {
		receipt, at := &r.Receipts[i], fmt.Sprintf("%s.receipts[%d]", key, i)
		c.knownUser(receipt.User, receipt.Line, join(at, "user"))
		c.needEvent(receipt.Event, receipt.Line, join(at, "event"), ids)
		if receipt.Thread.Value != mainThread {
			c.knownEvent(receipt.Thread, join(at, "thread"), ids)
		}
	}
	for user, id := range r.FullyRead {
		at := join(join(key, "fully_read"), user)
		c.knownUser(Text{user, c.lines[at]}, c.lines[at], at)
		c.needEvent(id, c.lines[at], at, ids)
	}
}

// message checks one entry of messages or state. ids are the names of the events before it.
func (c *checker) message(m *Message, key string, ids map[string]bool) {
	c.knownUser(m.Sender, m.Line, join(key, "sender"))
	c.past(m.At, join(key, "at"))
	c.file(m.File, join(key, "file"))
	c.kind(m, key)
	for _, other := range []struct {
		name Text
		key  string
	}{{m.Redact, "redact"}, {m.To, "to"}, {m.Reply, "reply"}, {m.Thread, "thread"}, {m.Edit, "edit"}} {
		c.knownEvent(other.name, join(key, other.key), ids)
	}
	if m.Repeat > maxRepeat {
		c.report(m.Line, join(key, "repeat"), "must be at most %d", maxRepeat)
	}
	if m.ID.Value == "" {
		return
	}
	switch {
	case ids[m.ID.Value]:
		c.report(m.ID.Line, join(key, "id"), "is that of another event of the room")
	case strings.HasPrefix(m.ID.Value, "$"):
		c.report(m.ID.Line, join(key, "id"), "must not begin with $, as event IDs do")
	case m.Repeat > 1:
		c.report(m.ID.Line, join(key, "id"), "cannot stand for the events of repeat: leave one of the two out")
	}
	ids[m.ID.Value] = true
}

// kind reports an event that is nothing, or two things at once.
func (c *checker) kind(m *Message, key string) {
	reaction, redaction, whole := m.Reaction != "", m.Redact.Value != "", m.Content != nil
	text := m.Body != "" || m.File.Value != ""
	kinds := 0
	for _, is := range []bool{reaction, redaction, whole, text} {
		if is {
			kinds++
		}
	}
	related := m.Reply.Value != "" || m.Thread.Value != "" || m.Edit.Value != ""
	switch {
	case kinds != 1:
		c.report(m.Line, key, "needs one of: body or file (or both), content, reaction, redact")
	case whole && !isObject(m.Content):
		c.report(m.Line, join(key, "content"), "must be a mapping of keys to values")
	case whole && m.StateKey != nil && m.Type == "":
		c.report(m.Line, join(key, "type"), "is missing: a state event has one")
	case m.StateKey != nil && !whole:
		c.report(m.Line, join(key, "content"), "is missing: a state event has one")
	case reaction != (m.To.Value != ""):
		c.report(m.Line, join(key, "to"), "goes with reaction: it names the event that is reacted to")
	case related && (reaction || redaction):
		c.report(m.Line, key, "a reaction or redaction is no reply, thread or edit")
	case m.Edit.Value != "" && (m.Reply.Value != "" || m.Thread.Value != ""):
		c.report(m.Line, join(key, "edit"), "an edit keeps the relation of the event: leave reply and thread out")
	}
}

// knownEvent reports a name that no event before has.
func (c *checker) knownEvent(name Text, key string, ids map[string]bool) {
	if name.Value != "" && !ids[name.Value] {
		c.report(name.Line, key, "names %q, which is no id of an event before it in this room", name.Value)
	}
}

// needEvent reports a name that is missing, or no event has.
func (c *checker) needEvent(name Text, line int, key string, ids map[string]bool) {
	if name.Value == "" {
		c.report(line, key, "is missing: it names an event of the room by its id")
	}
	c.knownEvent(name, key, ids)
}

// personal checks what users have set for the room.
func (c *checker) personal(r *Room, key string) {
	for user, tags := range r.Tags {
		at := join(join(key, "tags"), user)
		c.knownUser(Text{user, c.lines[at]}, c.lines[at], at)
		c.objects(tags, at)
	}
	for user, data := range r.AccountData {
		at := join(join(key, "account_data"), user)
		c.knownUser(Text{user, c.lines[at]}, c.lines[at], at)
		c.objects(data, at)
	}
}
