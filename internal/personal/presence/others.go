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
	// sendEvery is how often other processes get a message that a device goes on asking
	// for news here. It is well below goneAfter.
	sendEvery = 10 * time.Second
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

func (s *Service) send(m message) {
	if s.Others == nil || s.Others.Alone() {
		return
	}
	data, _ := json.Marshal(m) // text and numbers never fail
	s.Others.Send(kindPresence, string(data))
}

// sendPolling sends, not too often unless there is news, that a device asks for news.
// The lock is held.
func (s *Service) sendPolling(u *user, deviceID string, d *device, news bool) {
	if now := s.Now(); news || now.Sub(d.told) >= sendEvery {
		d.told = now
		s.send(message{User: u.UserID, Device: deviceID, Away: d.away})
	}
}

// sendAll sends the state of all users to a new process.
func (s *Service) sendAll() {
	s.each(func(u *user) []journal.Topic {
		if u.wasSet.User != "" {
			s.send(u.wasSet)
		}
		for id, d := range u.devices {
			s.sendPolling(u, id, d, d.requests > 0)
		}
		return nil
	})
}

// receive is called for the messages of other processes.
func (s *Service) receive(data string) {
	var m message
	if json.Unmarshal([]byte(data), &m) != nil || m.User == "" {
		return // of another version
	}
	select {
	case s.news <- m:
	default:
	}
}

// handleReceived handles the messages of other processes, which may need the database.
func (s *Service) handleReceived(ctx context.Context) {
	for {
		select {
		case m := <-s.news:
			if err := s.handle(ctx, m); err != nil && ctx.Err() == nil {
				s.Log.DebugContext(ctx, "presence from another process is lost", "user", m.User, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *Service) handle(ctx context.Context, m message) error {
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
