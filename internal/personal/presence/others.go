package presence

import (
	"context"
	"encoding/json"
	"time"

	"homeserver/internal/journal"
)

const (
	// kindPresence is the kind of messages with the JSON of a message below.
	kindPresence = "presence"
	// tellEvery is how often other processes get a message that a device goes on asking
	// for news here. It is well below goneAfter.
	tellEvery = 10 * time.Second
	// maxNews bounds the received messages that wait; beyond it they are dropped, and
	// come again with the next sign of the user.
	maxNews = 1024
)

// message is a message between processes about a user: that the user has set something,
// that a device asks for news, or that the profile has changed.
type message struct {
	User      string `json:"user"`
	Presence  string `json:"presence,omitzero"`
	StatusMsg string `json:"status_msg,omitzero"`
	At        int64  `json:"at,omitzero"` // when it was set, in milliseconds since the epoch
	Device    string `json:"device,omitzero"`
	Away      bool   `json:"away,omitzero"`
	Renamed   bool   `json:"renamed,omitzero"`
}

func (s *Service) tell(m message) {
	if s.Others == nil || s.Others.Alone() {
		return
	}
	data, _ := json.Marshal(m) // text and numbers never fail
	s.Others.Send(kindPresence, string(data))
}

// tellPolling sends, not too often unless there is news, that a device asks for news.
// The lock is held.
func (s *Service) tellPolling(u *user, deviceID string, d *device, news bool) {
	if now := s.Now(); news || now.Sub(d.told) >= tellEvery {
		d.told = now
		s.tell(message{User: u.UserID, Device: deviceID, Away: d.away})
	}
}

// tellAll sends the state of all users to a new process.
func (s *Service) tellAll() {
	s.each(func(u *user) []journal.Topic {
		if u.wasSet.User != "" {
			s.tell(u.wasSet)
		}
		for id, d := range u.devices {
			s.tellPolling(u, id, d, d.requests > 0)
		}
		return nil
	})
}

// heard is called for the messages of other processes.
func (s *Service) heard(data string) {
	var m message
	if json.Unmarshal([]byte(data), &m) != nil || m.User == "" {
		return // of another version
	}
	select {
	case s.news <- m:
	default:
	}
}

// takeIn handles the messages of other processes, which may need the database.
func (s *Service) takeIn(ctx context.Context) {
	for {
		select {
		case m := <-s.news:
			if err := s.learn(ctx, m); err != nil && ctx.Err() == nil {
				s.Log.DebugContext(ctx, "presence from another process is lost", "user", m.User, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *Service) learn(ctx context.Context, m message) error {
	if m.Renamed {
		p, err := s.Profiles.Get(ctx, m.User)
		if err == nil {
			s.rename(m.User, p)
		}
		return err
	}
	return s.update(ctx, m.User, func(u *user) {
		switch {
		case m.Device != "":
			u.polls(u.device(m.Device), m.Away, s.Now())
		case m.At > u.wasSet.At:
			u.set(m.Presence, m.StatusMsg, time.UnixMilli(m.At))
		}
	})
}
