package typing

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"homeserver/internal/journal"
)

// kindTyping is the message that a user is typing for so many more milliseconds, 0 for a
// user who has stopped: "room milliseconds user".
const kindTyping = "typing"

// send sends a message to the other processes.
func (s *Service) send(nid journal.RoomNID, userID string, timeout time.Duration) {
	if s.others != nil {
		s.others.Send(kindTyping, fmt.Sprintf("%d %d %s", nid, timeout.Milliseconds(), userID))
	}
}

// sendAll sends all that was set here to a new process.
func (s *Service) sendAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for nid, r := range s.byRoom {
		for userID, t := range r.typists {
			if left := t.until.Sub(s.time.Now()); left > 0 {
				s.send(nid, userID, left)
			}
		}
	}
}

// receive is called for the messages of other processes.
func (s *Service) receive(data string) {
	room, rest, _ := strings.Cut(data, " ")
	milliseconds, userID, _ := strings.Cut(rest, " ")
	nid, errRoom := strconv.ParseInt(room, 10, 64)
	ms, errTime := strconv.ParseInt(milliseconds, 10, 64)
	if errRoom != nil || errTime != nil {
		return // of another version
	}
	if timeout := time.Duration(ms) * time.Millisecond; timeout > 0 {
		s.start(journal.RoomNID(nid), userID, min(timeout, maxTimeout), time.Time{})
	} else {
		s.end(journal.RoomNID(nid), userID, nil)
	}
}
