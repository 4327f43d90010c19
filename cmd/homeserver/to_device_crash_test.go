package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

const (
	couriers  = 8
	mailboxes = 3
)

// courier sends one message after the other to the devices of all who have a mailbox. What it was not told
// to be sent, it sends again later, with the same transaction ID.
type courier struct {
	client *matrixtest.Client
	to     []string
	sent   []int
}

// next sends the next message, once.
func (c *courier) next(t *testing.T) error {
	n := len(c.sent)
	messages := map[string]any{}
	for _, user := range c.to {
		messages[user] = map[string]any{"*": map[string]any{"n": n}}
	}
	request := c.client.Request(http.MethodPut, matrixtest.Path("sendToDevice", "org.example.post", fmt.Sprint(n)), map[string]any{"messages": messages})
	response, err := c.client.HTTP.Do(request)
	if err != nil {
		return errAway
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil || response.StatusCode == http.StatusServiceUnavailable {
		return errAway
	}
	if response.StatusCode != http.StatusOK {
		t.Errorf("message %d: %s: %s", n, response.Status, body)
		return errAway
	}
	c.sent = append(c.sent, n)
	return nil
}

// mailbox is a device that goes from one token to the next.
type mailbox struct {
	client *matrixtest.Client
	since  string
	got    map[string][]int // numbers, by sender
}

// next asks once for what is new, and reports whether there was something.
func (m *mailbox) next(ctx context.Context, timeout string) (bool, error) {
	request := m.client.Request(http.MethodGet, matrixtest.SyncPath(m.since, "timeout", timeout), nil)
	response, err := m.client.HTTP.Do(request.WithContext(ctx))
	if err != nil {
		return false, errAway
	}
	var answer struct {
		NextBatch string `json:"next_batch"`
		ToDevice  struct {
			Events []struct {
				Sender  string
				Content struct{ N int }
			}
		} `json:"to_device"`
	}
	err = json.NewDecoder(response.Body).Decode(&answer)
	if err = errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusOK {
		return false, errAway
	}
	m.since = answer.NextBatch
	for _, e := range answer.ToDevice.Events {
		m.got[e.Sender] = append(m.got[e.Sender], e.Content.N)
	}
	return len(answer.ToDevice.Events) > 0, nil
}

// post is messages to devices on their way.
type post struct {
	couriers  []*courier
	mailboxes []*mailbox
}

func newPost(anyone *matrixtest.Client) *post {
	p := &post{}
	var users []string
	for i := range mailboxes {
		m := &mailbox{client: anyone.Register(fmt.Sprint("mailbox", i), "wordpass"), got: map[string][]int{}}
		m.since = m.client.Sync("").NextBatch()
		p.mailboxes, users = append(p.mailboxes, m), append(users, m.client.UserID)
	}
	for i := range couriers {
		p.couriers = append(p.couriers, &courier{client: anyone.Register(fmt.Sprint("courier", i), "wordpass"), to: users})
	}
	return p
}

// load has everybody send and read. It calls kill after some random number of messages, and returns then.
func (p *post) load(t *testing.T, baseURL string, kill func()) {
	t.Helper()
	var sending, reading sync.WaitGroup
	var count, over atomic.Int64
	fatal := int64(100 + rand.IntN(300)) //nolint:gosec // any moment will do
	now := make(chan struct{})
	for _, c := range p.couriers {
		c.client.BaseURL = baseURL
		sending.Go(func() {
			for over.Load() == 0 { // what the last round has broken may still fail
				if c.next(t) == nil && count.Add(1) == fatal {
					close(now)
				}
			}
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	for _, m := range p.mailboxes {
		m.client.BaseURL = baseURL
		reading.Go(func() {
			for ctx.Err() == nil {
				_, _ = m.next(ctx, "30000") // what has failed is asked again, from the same token
			}
		})
	}
	<-now
	kill()
	over.Store(1)
	sending.Wait()
	stop()
	reading.Wait()
}

// check has all sent whose fate is not known, reads the rest, and compares.
func (p *post) check(t *testing.T, baseURL string) {
	t.Helper()
	want := map[string][]int{}
	for _, c := range p.couriers {
		c.client.BaseURL = baseURL
		matrixtest.Until(t, "the server is back", func() bool { return c.next(t) == nil })
		want[c.client.UserID] = c.sent
	}
	for _, m := range p.mailboxes {
		m.client.BaseURL = baseURL
		matrixtest.Until(t, "/sync has brought everything", func() bool {
			more, err := m.next(t.Context(), "0")
			return err == nil && !more && len(m.got) == len(want) && total(m.got) >= total(want)
		})
		// In the order in which they were sent, each once, and nothing besides.
		if diff := cmp.Diff(want, m.got); diff != "" {
			t.Errorf("%s did not get what was sent (-sent +got):\n%s", m.client.UserID, diff)
		}
	}
}

func total(by map[string][]int) (n int) {
	for _, list := range by {
		n += len(list)
	}
	return n
}

func TestKilledInTheMiddleOfMessagesToDevices(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	for name, kill := range map[string]func(*testing.T, *daemon){
		"server": func(_ *testing.T, d *daemon) { d.end(syscall.SIGKILL) },
		"server and PostgreSQL": func(t *testing.T, d *daemon) {
			d.killPostgres(t)
			d.end(syscall.SIGKILL)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, environ := dataFolder(t), []string{"HOMESERVER_RATE_LIMITS_ENABLED=false", "HOMESERVER_LOG_LEVEL=warn"}
			d := serveFrom(t, dir, environ...)
			p := newPost(d.client(t))
			for range 2 {
				p.load(t, d.http, func() { kill(t, d) })
				d = serveFrom(t, dir, environ...)
			}
			p.check(t, d.http)
		})
	}
}

func TestMessagesToDevicesThroughThreeProcesses(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	r := startReplicas(t, 3)
	p := newPost(r.client(t))
	p.load(t, r.proxy.URL, func() {
		r.daemons[1].end(syscall.SIGKILL)
		r.revive(t, 1)
	})
	p.check(t, r.proxy.URL)
}
