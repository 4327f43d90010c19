package rendezvous

import (
	"strconv"
	"testing"
	"time"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func TestSessionsExpire(t *testing.T) {
	t.Parallel()
	var clock matrixtest.Clock
	s := New(clock.Now)
	begun, err := s.Begin("192.0.2.1", []byte("a"))
	matrixtest.WantCode(t, err, "")
	clock.Pass(time.Minute - time.Second)
	etag := begun.ETag
	for range 4 { // each write renews it
		written, err := s.Put(begun.ID, etag, []byte("a"))
		matrixtest.WantCode(t, err, "")
		if written.ETag == etag {
			t.Error("the same text is not the same message")
		}
		etag = written.ETag
		clock.Pass(5*time.Minute - time.Second)
		if _, err := s.Get(begun.ID); err != nil && clock.Now().Sub(begun.LastModified) < 15*time.Minute {
			t.Error(err)
		} else if err != nil {
			matrixtest.WantCode(t, err, matrix.NotFound)
			return
		}
	}
	t.Error("it lives for ever")
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	var clock matrixtest.Clock
	s := New(clock.Now)
	for range maxSessionsEach {
		_, err := s.Begin("192.0.2.1", nil)
		matrixtest.WantCode(t, err, "")
	}
	_, err := s.Begin("192.0.2.1", nil)
	matrixtest.WantCode(t, err, matrix.LimitExceeded)
	for i := range 2 * maxSessions {
		_, err := s.Begin(strconv.Itoa(i), nil)
		matrixtest.WantCode(t, err, "")
	}
	if n := len(s.sessions); n != maxSessions {
		t.Errorf("there are %d sessions", n)
	}
	clock.Pass(time.Minute)
	_, err = s.Begin("192.0.2.1", nil)
	matrixtest.WantCode(t, err, "")
	if n := len(s.sessions); n != 1 {
		t.Errorf("there are %d sessions", n)
	}
}
