package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"homeserver/internal/matrixtest"
)

// claims is what was given out of one-time keys, by device and key.
type claims struct {
	mu     sync.Mutex
	times  map[string]int
	failed int // claims whose fate nobody knows
}

// claim asks for one key of each device of a user, and reports whether an answer came.
func (s *claims) claim(t *testing.T, c *matrixtest.Client, owner string, devices map[string]string) bool {
	request := c.Request(http.MethodPost, "/keys/claim", map[string]any{"one_time_keys": map[string]any{owner: devices}})
	var answer struct {
		Keys map[string]map[string]map[string]string `json:"one_time_keys"`
	}
	response, err := c.HTTP.Do(request)
	if err == nil {
		var body []byte
		body, err = io.ReadAll(response.Body)
		_ = response.Body.Close() // it was only read
		if err == nil && response.StatusCode == http.StatusOK {
			err = json.Unmarshal(body, &answer)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || response.StatusCode != http.StatusOK {
		if err == nil && response.StatusCode < http.StatusInternalServerError {
			t.Errorf("claim: status %d", response.StatusCode)
		}
		s.failed++
		return false
	}
	for device, keys := range answer.Keys[owner] {
		for id, key := range keys {
			s.times[device+" "+id+" "+key]++
		}
	}
	return true
}

// No key is given out twice by a server that is killed in the middle of claims, although its
// devices upload the same keys again after that; and none gets lost but by claims that nobody
// has got an answer to.
func TestServerKilledInTheMiddleOfClaimsGivesNoKeyTwice(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	const devices, keysOfEach, claimers = 4, 150, 6
	dir := dataFolder(t)
	environ := []string{"HOMESERVER_RATE_LIMITS_ENABLED=false", "HOMESERVER_LOG_LEVEL=warn"}
	d := serveFrom(t, dir, environ...)
	anyone := d.client(t)
	owner, claimer := anyone.Register("owner", "wordpass"), anyone.Register("claimer", "wordpass")
	keys, all := map[string]string{}, map[string]string{}
	for n := range keysOfEach {
		keys[fmt.Sprintf("curve25519:%03d", n)] = fmt.Sprintf("%042dA", n)
	}
	phones := []*matrixtest.Client{owner}
	for len(phones) < devices {
		phones = append(phones, anyone.Login("owner", "wordpass"))
	}
	upload := func() {
		for _, phone := range phones {
			phone.BaseURL = d.http
			phone.Do("POST", "/keys/upload", map[string]any{"one_time_keys": keys}).OK()
			all[phone.DeviceID] = "curve25519"
		}
	}
	seen := &claims{times: map[string]int{}}
	for range 3 {
		upload()
		claimer.BaseURL = d.http
		var count atomic.Int64
		var running sync.WaitGroup
		enough := make(chan struct{})
		for range claimers {
			running.Go(func() {
				for seen.claim(t, claimer, owner.UserID, all) {
					if count.Add(1) == 30 {
						close(enough)
					}
				}
			})
		}
		<-enough
		d.end(syscall.SIGKILL)
		running.Wait()
		d = serveFrom(t, dir, environ...)
	}
	upload()
	claimer.BaseURL = d.http
	for {
		before := len(seen.times)
		if seen.claim(t, claimer, owner.UserID, all); len(seen.times) == before {
			break
		}
	}
	for key, times := range seen.times {
		if times != 1 {
			t.Errorf("%s was given out %d times", key, times)
		}
	}
	if n := len(seen.times); n > devices*keysOfEach || n < devices*(keysOfEach-seen.failed) {
		t.Errorf("%d of %d keys were given out, and %d claims have failed", n, devices*keysOfEach, seen.failed)
	}
}
