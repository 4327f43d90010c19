package emailpusher

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"net/url"
	"strings"
	texttemplate "text/template"
	"unicode"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/personal/push"
)

// What stands in one mail, at most.
const (
	maxRooms    = 10
	maxMessages = 5 // of a room, the newest
	maxText     = 200
	maxName     = 60
)

//go:embed templates
var templates embed.FS

var (
	plainDigest = texttemplate.Must(texttemplate.ParseFS(templates, "templates/digest.txt"))
	htmlDigest  = htmltemplate.Must(htmltemplate.ParseFS(templates, "templates/digest.html"))
)

// digest is the content of a mail.
type digest struct {
	Subject, UserID, ServerName string
	Rooms                       []*digestRoom
	// MoreRooms is how many rooms have no room in the mail.
	MoreRooms   int
	Unsubscribe string
}

// digestRoom is what is unread in a room. More is how many messages before are left out.
type digestRoom struct {
	Name, Link string
	Messages   []digestMessage
	More       int
}

// digestMessage is a message, or what else has happened: then Text says that.
type digestMessage struct{ Sender, Text string }

// mail sends a mail about notifications, oldest first. unread is how many there are in all.
func (s *Service) mail(ctx context.Context, p *push.EmailPusher, list []push.Push, unread int) error {
	d := s.digest(p, list, unread)
	var plain, html bytes.Buffer
	if err := plainDigest.Execute(&plain, d); err != nil {
		return fmt.Errorf("write a mail: %w", err)
	}
	if err := htmlDigest.Execute(&html, d); err != nil {
		return fmt.Errorf("write a mail: %w", err)
	}
	return s.o.Mail.Send(ctx, threepid.Mail{
		To: p.Pushkey, Subject: d.Subject, Plain: plain.String(), HTML: html.String(), Unsubscribe: d.Unsubscribe,
	})
}

// digest orders notifications by rooms: those in which the newest are come first.
func (s *Service) digest(p *push.EmailPusher, list []push.Push, unread int) *digest {
	d := &digest{
		UserID: p.UserID, ServerName: s.o.ServerName, Unsubscribe: s.UnsubscribeLink(p.UserID, p.Pushkey),
		Subject: fmt.Sprintf("%d unread messages on %s", unread, s.o.ServerName),
	}
	if unread == 1 {
		d.Subject = "An unread message on " + s.o.ServerName
	}
	rooms := map[journal.RoomNID]*digestRoom{}
	for i := len(list) - 1; i >= 0; i-- {
		one := &list[i]
		room := rooms[one.Event.Room]
		if room == nil {
			room = &digestRoom{Name: roomName(one), Link: s.o.RoomURL + url.PathEscape(one.Event.RoomID)}
			rooms[one.Event.Room] = room
			if len(d.Rooms) < maxRooms {
				d.Rooms = append(d.Rooms, room)
			} else {
				d.MoreRooms++
			}
		}
		if len(room.Messages) < maxMessages {
			room.Messages = append([]digestMessage{{senderName(one), describe(one)}}, room.Messages...)
		} else {
			room.More++
		}
	}
	return d
}

// roomName returns what a room is called in a mail.
func roomName(p *push.Push) string {
	for _, name := range []string{p.RoomName, p.RoomAlias} {
		if name = oneLine(name, maxName); name != "" {
			return name
		}
	}
	return "Chat with " + senderName(p)
}

// senderName returns what the sender of an event is called in a mail.
func senderName(p *push.Push) string {
	if name := oneLine(p.SenderName, maxName); name != "" {
		return name
	}
	return p.Event.Sender
}

// describe returns what an event says, or what it is.
func describe(p *push.Push) string {
	text := func(field string) string {
		value, _ := event.StringField(p.Event.Content(), field)
		return oneLine(value, maxText)
	}
	switch p.Event.Type {
	case event.TypeMember:
		return "an invitation"
	case "m.room.encrypted":
		return "an encrypted message"
	case "m.room.message":
	default:
		return "something that is no message"
	}
	switch text("msgtype") {
	case "m.image":
		return "a picture"
	case "m.video":
		return "a video"
	case "m.audio":
		return "a recording"
	case "m.file":
		return "a file"
	}
	if body := text("body"); body != "" {
		return body
	}
	return "a message without text"
}

// oneLine returns the beginning of a text that others have written, in one line of
// characters that can be seen.
func oneLine(text string, most int) string {
	text = strings.Join(strings.FieldsFunc(text, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsGraphic(c) }), " ")
	for i := range text {
		if most--; most < 0 {
			return text[:i] + "…"
		}
	}
	return text
}
