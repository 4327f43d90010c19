package appservice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/matrix"
)

const (
	// usualAnswerBytes is the longest answer that is read where a call does not say more.
	usualAnswerBytes = 64 << 10
	// legacyTime is how long a service that has answered at an old path is called there first
	// no more: "Homeservers should periodically try again for the newer endpoints".
	legacyTime = time.Hour

	connectTimeout     = 5 * time.Second
	maxHeaderBytes     = 64 << 10
	connectionsEach    = 32
	idleConnectionTime = time.Minute
)

// ErrNoURL is the error of a call to a service that is not to be called.
var ErrNoURL = errors.New("the application service has no URL")

// Call is a request to an application service.
type Call struct {
	// Name is the kind of the call in metrics.
	Name   string
	Method string
	// Path is where it goes, escaped, below the URL of the service; Legacy is where services of
	// old expect it, "" if nowhere.
	Path, Legacy string
	Query        url.Values
	// Body is JSON; nil: there is none.
	Body []byte
	// MaxAnswerBytes is the longest answer that is read; 0: 64 KiB.
	MaxAnswerBytes int64
}

// Answer is the answer of a service, whatever its status.
type Answer struct {
	Status int
	Body   []byte
}

// OK reports whether the answer is one of success.
func (a Answer) OK() bool { return a.Status >= 200 && a.Status < 300 }

// unknownPath reports whether a service does not know the path that it was called at. An
// errcode of its own is an answer from where it wanted to be called.
func (a Answer) unknownPath() bool {
	if a.Status != http.StatusNotFound && a.Status != http.StatusMethodNotAllowed && a.Status != http.StatusNotImplemented {
		return false
	}
	var body struct {
		Errcode matrix.Code `json:"errcode"`
	}
	// An answer that is no JSON has none.
	_ = json.Unmarshal(a.Body, &body)
	return body.Errcode == "" || body.Errcode == matrix.Unrecognized
}

// Call sends a request to a service, with its hs_token, and returns the answer, whatever its
// status. It goes to the address in the registration, wherever that is, since the operator has
// named it, and to no other: redirects are answers like any other. It ends with the
// context. The error wraps ErrNoURL; a net.Error whose Timeout is true, or
// context.DeadlineExceeded, means that it took too long. No error has a token in it.
//
// A service that does not know the path is called at the one of old, also for an hour after
// that. Application Service API, "Legacy routes".
func (s *Service) Call(ctx context.Context, r *registration.Registration, c Call) (Answer, error) {
	if r.URL == "" {
		return Answer{}, ErrNoURL
	}
	began := time.Now()
	answer, err := s.callOrLegacy(ctx, r, c)
	s.calls.count(r.ID, c.Name, answer, err, time.Since(began))
	return answer, err
}

func (s *Service) callOrLegacy(ctx context.Context, r *registration.Registration, c Call) (Answer, error) {
	to := s.peers[r.ID]
	if c.Legacy != "" && to.isLegacy(c.Name) {
		return to.send(ctx, r, c, c.Legacy, true)
	}
	answer, err := to.send(ctx, r, c, c.Path, false)
	if err != nil || c.Legacy == "" || !answer.unknownPath() {
		return answer, err
	}
	old, err := to.send(ctx, r, c, c.Legacy, true)
	if err == nil && !old.unknownPath() {
		to.noteLegacy(c.Name)
	}
	return old, err
}

// peer is the other end of calls: one service.
type peer struct {
	base string // what paths are appended to
	http http.Client
	now  func() time.Time

	mu     sync.Mutex
	legacy map[string]time.Time // by the names of calls, until when they go to the old path
}

// newPeer makes the client of one service, which connects to nothing but its address.
func newPeer(address string, now func() time.Time) *peer {
	dialer := &net.Dialer{Timeout: connectTimeout}
	dial, base := dialer.DialContext, address
	if u, err := url.Parse(address); err == nil && u.Scheme == "unix" {
		base = "http://localhost"
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", u.Path)
		}
	}
	return &peer{
		base: base, now: now, legacy: map[string]time.Time{},
		http: http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext: dial, TLSHandshakeTimeout: connectTimeout, ForceAttemptHTTP2: true, DisableCompression: true,
				MaxResponseHeaderBytes: maxHeaderBytes, MaxConnsPerHost: connectionsEach, IdleConnTimeout: idleConnectionTime,
			},
		},
	}
}

func (p *peer) isLegacy(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now().Before(p.legacy[name])
}

func (p *peer) noteLegacy(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.legacy[name] = p.now().Add(legacyTime)
}

// send sends the request to one path. Services of old find the token in the query only.
func (p *peer) send(ctx context.Context, r *registration.Registration, c Call, path string, legacy bool) (Answer, error) {
	query := url.Values{}
	for name, values := range c.Query {
		query[name] = values
	}
	if legacy {
		query.Set("access_token", string(r.HSToken))
	}
	address := p.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, c.Method, address, bytes.NewReader(c.Body))
	if err != nil {
		return Answer{}, fmt.Errorf("call the application service %s: the address %s%s can't be used", r.ID, r.URL, path)
	}
	request.Header.Set("Authorization", "Bearer "+string(r.HSToken))
	request.Header.Set("User-Agent", "homeserver")
	if c.Body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := p.read(request, c.MaxAnswerBytes)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err // without the address, which may have the token in it
	}
	if err != nil {
		return answer, fmt.Errorf("call the application service %s at %s%s: %w", r.ID, r.URL, path, err)
	}
	return answer, nil
}

func (p *peer) read(request *http.Request, most int64) (answer Answer, err error) {
	got, err := p.http.Do(request)
	if err != nil {
		return answer, err
	}
	defer got.Body.Close() //nolint:errcheck // it was only read
	if most == 0 {
		most = usualAnswerBytes
	}
	answer.Status = got.StatusCode
	answer.Body, err = io.ReadAll(http.MaxBytesReader(nil, got.Body, most))
	return answer, err
}

// timedOut reports whether an error of a call means that it took too long.
func timedOut(err error) bool {
	slow, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && slow.Timeout()
}
