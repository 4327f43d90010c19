package seed

import (
	"math"
	"strconv"
	"time"
)

// conversation makes up what is said in a room.
type conversation struct {
	*generator
	room *Room
	// people are those who talk.
	people []Text
	// said are the numbers of the plain messages, roots the numbers of those of them that have threads.
	said, roots []int
	// reactions are those that there are: nobody reacts in the same way twice.
	reactions map[reaction]bool
}

type reaction struct {
	target      int
	sender, key string
}

// How many of a thousand events are of each kind; the others are plain messages.
const (
	ofReplies    = 60
	ofThreads    = 80
	ofReactions  = 80
	ofEdits      = 30
	ofRedactions = 12
	ofPictures   = 15
)

func (c *conversation) fill(events int) {
	c.people, c.reactions = []Text{c.room.Creator}, map[reaction]bool{}
	for _, m := range c.room.Members {
		if m.Membership == "" {
			c.people = append(c.people, m.User)
		}
	}
	for i := range events {
		m := c.message()
		// More was said lately than long ago.
		m.At = Ago(time.Duration(float64(halfYear) * math.Pow(1-float64(i+1)/float64(events+1), 1.5)))
		c.room.Messages = append(c.room.Messages, m)
		if m.Body != "" && m.Edit.Value == "" && m.Reply.Value == "" && m.Thread.Value == "" && m.File.Value == "" {
			c.said = append(c.said, i)
		}
	}
	c.readers()
}

// message makes up the next event.
func (c *conversation) message() Message {
	m := Message{Sender: c.talker()}
	n := c.rand.IntN(1000)
	if len(c.said) == 0 {
		n = 999
	}
	kinds := []struct {
		of   int
		make func(m *Message)
	}{
		{ofReplies, func(m *Message) { m.Reply, m.Body = c.name(c.recent()), c.sentence() }},
		{ofThreads, c.inThread},
		{ofReactions, c.reaction},
		{ofEdits, c.edit},
		{ofRedactions, c.redaction},
		{ofPictures, func(m *Message) { m.File.Value = pick(c.generator, c.files) }},
	}
	for _, kind := range kinds {
		if n < kind.of {
			kind.make(&m)
			break
		}
		n -= kind.of
	}
	if m.Body == "" && m.File.Value == "" && m.Reaction == "" && m.Redact.Value == "" {
		m.Body = c.sentence()
	}
	return m
}

// talker returns somebody of the room: some talk much, and most little.
func (c *conversation) talker() Text {
	return c.people[int(float64(len(c.people))*math.Pow(c.rand.Float64(), 2))]
}

// recent returns one of the last messages.
func (c *conversation) recent() int {
	return c.said[len(c.said)-1-c.rand.IntN(min(len(c.said), 25))]
}

// name returns the ID by which the file refers to a message, and sets it if there is none.
func (c *conversation) name(i int) Text {
	m := &c.room.Messages[i]
	if m.ID.Value == "" {
		m.ID.Value = "m" + strconv.Itoa(i)
	}
	return m.ID
}

// inThread adds to one of the latest threads, or begins one.
func (c *conversation) inThread(m *Message) {
	var root int
	if len(c.roots) > 0 && !c.chance(150) {
		root = c.roots[len(c.roots)-1-c.rand.IntN(min(len(c.roots), 4))]
	} else {
		root = c.recent()
		c.roots = append(c.roots, root)
	}
	m.Thread, m.Body = c.name(root), c.sentence()
}

func (c *conversation) reaction(m *Message) {
	r := reaction{c.recent(), m.Sender.Value, pick(c.generator, emoji)}
	if c.reactions[r] {
		return // a message then
	}
	c.reactions[r] = true
	m.To, m.Reaction = c.name(r.target), r.key
}

// edit changes a recent message, by its sender.
func (c *conversation) edit(m *Message) {
	target := c.recent()
	m.Sender = c.room.Messages[target].Sender
	m.Edit, m.Body = c.name(target), c.sentence()
}

// redaction takes back a message, by its sender. Nobody refers to it from then on.
func (c *conversation) redaction(m *Message) {
	k := len(c.said) - 1 - c.rand.IntN(min(len(c.said), 25))
	target := c.said[k]
	m.Sender, m.Redact = c.room.Messages[target].Sender, c.name(target)
	c.said = append(c.said[:k], c.said[k+1:]...)
	for i, root := range c.roots {
		if root == target {
			c.roots = append(c.roots[:i], c.roots[i+1:]...)
			break
		}
	}
}

// readers have most of the people read the room up to a recent message.
func (c *conversation) readers() {
	if len(c.said) == 0 {
		return
	}
	for _, user := range c.people {
		if c.chance(700) {
			c.room.Receipts = append(c.room.Receipts, Receipt{User: user, Event: c.name(c.recent())})
		}
	}
}
