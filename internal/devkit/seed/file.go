package seed

import (
	"encoding/json"
	"time"
)

// Seed is what a server is filled with before it answers.
type Seed struct {
	// Now is the time from which times in the past are counted back; not set: the moment of the loading.
	Now   Time   `yaml:"now"`
	Users []User `yaml:"users"`
	Rooms []Room `yaml:"rooms"`

	// path is the file that it was read from; "": it was made by the generator.
	path string
	// made are the files that the generator has made, by name.
	made map[string][]byte
}

// Text is a text of the file with its line, for errors that are found out later.
type Text struct {
	Value string
	Line  int
}

// User is one account.
type User struct {
	Line int `yaml:"-"`
	// Name is the part of the user ID between @ and the colon.
	Name        Text   `yaml:"name"`
	Password    string `yaml:"password"`
	Admin       bool   `yaml:"admin"`
	Displayname string `yaml:"displayname"`
	// Avatar is the path of a picture.
	Avatar Text `yaml:"avatar"`
	// Devices are logged in; with none there is one, which gets an ID.
	Devices     []Device                   `yaml:"devices"`
	AccountData map[string]json.RawMessage `yaml:"account_data"`
}

// Device is a device that is logged in.
type Device struct {
	Line int    `yaml:"-"`
	ID   string `yaml:"id"`
	Name string `yaml:"name"`
	// AccessToken is the device's token; "": one that is made.
	AccessToken string `yaml:"access_token"`
}

// Room is one room, in the order in which its events are sent: those of its creation, members, state, the children
// of a space, messages.
type Room struct {
	Line int `yaml:"-"`
	// ID is a name by which the file alone knows the room.
	ID    Text   `yaml:"id"`
	Alias string `yaml:"alias"`
	Name  string `yaml:"name"`
	Topic string `yaml:"topic"`
	// Avatar is the path of a picture.
	Avatar  Text   `yaml:"avatar"`
	Preset  string `yaml:"preset" oneof:"private_chat trusted_private_chat public_chat"`
	Version string `yaml:"version"`
	// Type is that of m.room.create, such as m.space.
	Type    string `yaml:"type"`
	Creator Text   `yaml:"creator"`
	// At is when it was made.
	At Time `yaml:"at"`
	// Listed shows it in the room directory.
	Listed bool `yaml:"listed"`
	// Direct makes it a direct chat of all its members.
	Direct bool `yaml:"direct"`
	// Encrypted sets m.room.encryption.
	Encrypted   bool                       `yaml:"encrypted"`
	PowerLevels map[string]json.RawMessage `yaml:"power_levels"`
	Members     []Member                   `yaml:"members"`
	State       []Message                  `yaml:"state"`
	// Children are rooms of the file, or room IDs, which a space has.
	Children []Text    `yaml:"children"`
	Messages []Message `yaml:"messages"`

	Receipts []Receipt `yaml:"receipts"`
	// FullyRead are the read markers, by user.
	FullyRead map[string]Text `yaml:"fully_read"`
	// Tags are by user, and by the name of the tag.
	Tags map[string]map[string]json.RawMessage `yaml:"tags"`
	// AccountData is by user and type.
	AccountData map[string]map[string]json.RawMessage `yaml:"account_data"`
}

// Member is one change of a membership, or all that lead to it.
type Member struct {
	Line       int    `yaml:"-"`
	User       Text   `yaml:"user"`
	Membership string `yaml:"membership" oneof:"join invite knock leave ban"`
	// By is who invites, bans or removes the user; "": the creator. Only with membership leave, "" is the user.
	By     Text   `yaml:"by"`
	Reason string `yaml:"reason"`
	At     Time   `yaml:"at"`
}

// Message is one event, or several.
type Message struct {
	Line int `yaml:"-"`
	// ID is a name by which others of the room refer to the event.
	ID     Text `yaml:"id"`
	Sender Text `yaml:"sender"`
	At     Time `yaml:"at"`

	Body string `yaml:"body"`
	// File is the path of a file that is uploaded and sent.
	File Text `yaml:"file"`
	// Reaction is the key of an m.reaction.
	Reaction string `yaml:"reaction"`
	// Redact, To, Reply, Thread and Edit name other events of the room.
	Redact Text   `yaml:"redact"`
	Reason string `yaml:"reason"`
	To     Text   `yaml:"to"`
	Reply  Text   `yaml:"reply"`
	Thread Text   `yaml:"thread"`
	Edit   Text   `yaml:"edit"`

	// Type and Content are those of an event that is given whole; StateKey makes it a state event.
	Type     string          `yaml:"type"`
	StateKey *string         `yaml:"state_key"`
	Content  json.RawMessage `yaml:"content"`

	// Repeat sends it so many times, {n} in the body being the number of each. Every is the time between two; 0: they
	// are spread evenly until now.
	Repeat int      `yaml:"repeat"`
	Every  Duration `yaml:"every"`
}

// Receipt says how far a user has read.
type Receipt struct {
	Line int  `yaml:"-"`
	User Text `yaml:"user"`
	// Event is the last event that was read, by its name in the room.
	Event Text   `yaml:"event"`
	Type  string `yaml:"type" oneof:"m.read m.read.private"`
	// Thread is "main", or the name of the thread's root; not set: the receipt is for the whole room.
	Thread Text `yaml:"thread"`
}

// Time is a moment, or how long before the seed's now it was. The zero value is not set.
type Time struct {
	Line  int
	set   bool
	fixed time.Time
	ago   time.Duration
}

// Ago returns the time so long before now.
func Ago(d time.Duration) Time { return Time{set: true, ago: d} }

// on returns the moment, in milliseconds since the epoch.
func (t Time) on(now time.Time) int64 {
	if !t.fixed.IsZero() {
		return t.fixed.UnixMilli()
	}
	return now.Add(-t.ago).UnixMilli()
}

// Duration is a length of time.
type Duration time.Duration
