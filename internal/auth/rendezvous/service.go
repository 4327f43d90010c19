package rendezvous

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"sync"
	"time"

	"homeserver/internal/auth/secret"
	"homeserver/internal/matrix"
)

const (
	// MaxBytes bounds a message.
	MaxBytes = 4 << 10

	maxSessions       = 2000
	maxSessionsEach   = 20
	firstLifetime     = time.Minute
	renewedLifetime   = 5 * time.Minute
	longestLifetime   = 15 * time.Minute
	concurrentWrite   = "M_CONCURRENT_WRITE"
	unstableErrorCode = "org.matrix.msc4108.errcode"
)

// Session is a session as its devices see it.
type Session struct {
	ID      string
	Content []byte
	// ETag names the message.
	ETag         string
	Expires      time.Time
	LastModified time.Time

	address string
	begun   time.Time
	writes  int
}

// Service has the sessions. It may be used concurrently.
type Service struct {
	now func() time.Time

	mu       sync.Mutex
	sessions map[string]*Session
}

// New makes a Service without sessions. Without a clock it is time.Now.
func New(now func() time.Time) *Service {
	if now == nil {
		now = time.Now
	}
	return &Service{now: now, sessions: map[string]*Session{}}
}

// Begin makes a session with its first message. M_TOO_LARGE, and M_LIMIT_EXCEEDED for an address with too many.
func (s *Service) Begin(address string, content []byte) (Session, error) {
	if len(content) > MaxBytes {
		return Session{}, errTooLarge()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	own, first := 0, (*Session)(nil)
	for id, known := range s.sessions {
		switch {
		case !known.Expires.After(now):
			delete(s.sessions, id)
			continue
		case known.address == address:
			own++
		}
		if first == nil || known.Expires.Before(first.Expires) {
			first = known
		}
	}
	if own >= maxSessionsEach {
		return Session{}, matrix.TooMany(firstLifetime)
	}
	if len(s.sessions) >= maxSessions {
		delete(s.sessions, first.ID)
	}
	made := &Session{ID: secret.New(""), address: address, begun: now}
	made.write(content, now, firstLifetime)
	s.sessions[made.ID] = made
	return *made, nil
}

// write replaces the message.
func (s *Session) write(content []byte, now time.Time, lifetime time.Duration) {
	s.writes++
	hash := sha256.Sum256(append([]byte(strconv.Itoa(s.writes)+" "), content...))
	s.Content, s.ETag = content, `"`+base64.RawURLEncoding.EncodeToString(hash[:18])+`"`
	s.LastModified, s.Expires = now, now.Add(lifetime)
	if last := s.begun.Add(longestLifetime); s.Expires.After(last) {
		s.Expires = last
	}
}

// find finds a session that has not expired; M_NOT_FOUND.
func (s *Service) find(id string) (*Session, error) {
	known := s.sessions[id]
	if known == nil || !known.Expires.After(s.now()) {
		return nil, matrix.Errorf(matrix.NotFound, "There is no such session, or it has expired")
	}
	return known, nil
}

// Get returns a session. M_NOT_FOUND.
func (s *Service) Get(id string) (Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, err := s.find(id)
	if err != nil {
		return Session{}, err
	}
	return *known, nil
}

// Put replaces the message that ETag names. M_NOT_FOUND, M_TOO_LARGE, M_MISSING_PARAM without an ETag, and 412 where another
// message is there already.
func (s *Service) Put(id, etag string, content []byte) (Session, error) {
	if etag == "" {
		return Session{}, matrix.Errorf(matrix.MissingParam, "The header If-Match is missing")
	}
	if len(content) > MaxBytes {
		return Session{}, errTooLarge()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known, err := s.find(id)
	if err != nil {
		return Session{}, err
	}
	if known.ETag != etag {
		refusal := matrix.Errorf(matrix.Unknown, "Another message is there already")
		refusal.Status, refusal.Fields = 412, map[string]any{unstableErrorCode: concurrentWrite}
		return *known, refusal
	}
	known.write(content, s.now(), renewedLifetime)
	return *known, nil
}

// Delete ends a session. M_NOT_FOUND.
func (s *Service) Delete(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.find(id); err != nil {
		return err
	}
	delete(s.sessions, id)
	return nil
}

func errTooLarge() *matrix.Error {
	return matrix.Errorf(matrix.TooLarge, "A message must have %d bytes at most", MaxBytes)
}
