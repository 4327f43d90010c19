package httppusher

import (
	"encoding/json"
	"maps"

	"homeserver/internal/event"
	"homeserver/internal/personal/push"
)

// notification is the body of a request: push gateway API, POST /_matrix/push/v1/notify.
type notification struct {
	EventID           string          `json:"event_id,omitempty"`
	RoomID            string          `json:"room_id,omitempty"`
	Type              string          `json:"type,omitempty"`
	Sender            string          `json:"sender,omitempty"`
	SenderDisplayName string          `json:"sender_display_name,omitempty"`
	RoomName          string          `json:"room_name,omitempty"`
	RoomAlias         string          `json:"room_alias,omitempty"`
	UserIsTarget      bool            `json:"user_is_target,omitempty"`
	Prio              string          `json:"prio"`
	Content           json.RawMessage `json:"content,omitempty"`
	Counts            counts          `json:"counts"`
	Devices           []device        `json:"devices"`
}

type counts struct {
	Unread *int `json:"unread,omitempty"`
}

// device is the pusher.
type device struct {
	AppID     string                     `json:"app_id"`
	Pushkey   string                     `json:"pushkey"`
	PushkeyTS int64                      `json:"pushkey_ts"`
	Data      json.RawMessage            `json:"data"`
	Tweaks    map[string]json.RawMessage `json:"tweaks,omitempty"`
}

// The priorities of notifications.
const (
	high = "high"
	low  = "low"
)

// target is where the notifications of a pusher go.
type target struct {
	url    string
	idOnly bool
	device device
}

func newTarget(p *push.HTTPPusher) *target {
	address, _ := event.StringField(p.Data, "url")
	return &target{
		url: address, idOnly: isIDOnly(p.Data),
		device: device{AppID: p.AppID, Pushkey: p.Pushkey, PushkeyTS: p.SetAt, Data: event.Without(p.Data, "url")},
	}
}

// isIDOnly reports whether a pusher wants no more of an event than its ID and its room.
func isIDOnly(data json.RawMessage) bool {
	format, _ := event.StringField(data, "format")
	return format == "event_id_only"
}

// badge makes the notification of a number of unread notifications alone. It says 0, too:
// gateways change nothing where there is no number.
func (t *target) badge(unread int) *notification {
	return &notification{Prio: low, Counts: counts{&unread}, Devices: []device{t.device}}
}

// event makes the notification of an event.
func (t *target) event(p *push.Push, unread int) *notification {
	e := p.Event
	n := &notification{EventID: e.ID, RoomID: e.RoomID, Prio: prioOf(p), Devices: []device{t.device}}
	if unread > 0 {
		n.Counts.Unread = &unread
	}
	if t.idOnly {
		return n
	}
	n.Type, n.Sender, n.Content = e.Type, e.Sender, e.Content()
	n.SenderDisplayName, n.RoomName, n.RoomAlias, n.UserIsTarget = p.SenderName, p.RoomName, p.RoomAlias, p.AboutUser
	tweaks := maps.Clone(p.Tweaks)
	maps.DeleteFunc(tweaks, func(_ string, value json.RawMessage) bool { return value == nil })
	n.Devices[0].Tweaks = tweaks
	return n
}

// prioOf returns the priority of a notification: high for what the user is to notice, and
// for what is encrypted, as only the client can tell.
func prioOf(p *push.Push) string {
	if sound := p.Tweaks["sound"]; p.Highlight || len(sound) > 0 && string(sound) != "null" || p.Event.Type == "m.room.encrypted" {
		return high
	}
	return low
}
