package transactions

import (
	"strconv"
	"time"

	"homeserver/internal/journal"
)

const (
	// kindAlive is the message that a service has called another process: its ID.
	kindAlive = "app_service_alive"
	// kindAlias is the message of the database that an alias of a room has changed: its
	// number.
	kindAlias = "room_alias"
	// signEvery is how often other processes are told that a service lives, at most.
	signEvery = 5 * time.Second
)

// Alive is called when a service has called this server: if it fails, it is tried again
// soon. It is quick.
func (s *Service) Alive(id string) {
	if s.byID[id] == nil {
		return
	}
	if s.leading.Load() {
		s.live(id, false)
	} else if s.o.Channel != nil && s.maySign(id) {
		s.o.Channel.Send(kindAlive, id)
	}
}

// Reached is called when this server has reached a service by another request: if it fails,
// it is tried again at once.
func (s *Service) Reached(id string) {
	s.live(id, true)
	if s.o.Channel != nil && s.byID[id] != nil {
		s.o.Channel.Send(kindAlive, id)
	}
}

// live has a service that fails be tried again.
func (s *Service) live(id string, surely bool) {
	l := s.byID[id]
	if l == nil || !l.failing.Load() {
		return
	}
	if surely {
		l.surely.Store(true)
	}
	signal(l.alive)
}

// maySign reports whether other processes have not been told of a service lately.
func (s *Service) maySign(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); now.Sub(s.signed[id]) >= signEvery {
		s.signed[id] = now
		return true
	}
	return false
}

// AliasChanged is called when an alias of a room was made or deleted here.
func (s *Service) AliasChanged(room journal.RoomNID) { s.aliasesChanged(room) }

// onAlias is called for the messages of the database.
func (s *Service) onAlias(data string) {
	if nid, err := strconv.ParseInt(data, 10, 64); err == nil {
		s.aliasesChanged(journal.RoomNID(nid))
	}
}

// aliasesChanged has it looked up anew whether a room concerns services; 0: any.
func (s *Service) aliasesChanged(room journal.RoomNID) {
	for _, l := range s.lanes {
		if len(l.r.Aliases) > 0 {
			l.outdate(room)
		}
	}
}
