package transactions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// sendTimeout is for one attempt, with the answer. It is long, since services work at a
	// transaction before they answer, and one that is sent again meanwhile is work for them, too.
	sendTimeout = 2 * time.Minute
	// maxAnswerBytes is how much of an answer is read.
	maxAnswerBytes = 64 << 10
	connectTimeout = 10 * time.Second
	// legacyFor is after which time the path of today is tried again.
	legacyFor = time.Hour
)

// newClient makes the client for a service, which the operator has named: it may be at any
// address, also a socket (unix:///path). Redirects are not followed. base is what stands before
// paths.
func newClient(address string) (client *http.Client, base string) {
	transport := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout:    connectTimeout,
		MaxResponseHeaderBytes: maxAnswerBytes,
		MaxIdleConns:           1,
		IdleConnTimeout:        time.Minute,
	}
	base = address
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		base = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "unix", path)
		}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, base
}

// errUnknownPath says that a service does not know a path.
var errUnknownPath = errors.New("the application service does not know the path")

// send sends a transaction once. Application Service API, PUT
// /_matrix/app/v1/transactions/{txnId}, and "Legacy routes".
func (l *lane) send(ctx context.Context, t *transaction) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	now := l.s.now()
	if now.Before(l.legacy) {
		return l.put(ctx, l.legacyPath(t), t.body)
	}
	err := l.put(ctx, "/_matrix/app/v1/transactions/"+url.PathEscape(t.id), t.body)
	if errors.Is(err, errUnknownPath) && l.put(ctx, l.legacyPath(t), t.body) == nil {
		l.legacy = now.Add(legacyFor)
		return nil
	}
	return err
}

// legacyPath is the path of services of old, which find the token in the query.
func (l *lane) legacyPath(t *transaction) string {
	return "/transactions/" + url.PathEscape(t.id) + "?access_token=" + url.QueryEscape(string(l.r.HSToken))
}

// put sends a body. It is taken if the answer is 200 and has arrived, as far as it is read.
func (l *lane) put(ctx context.Context, path string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, l.base+path, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL of the application service cannot be used")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+string(l.r.HSToken))
	request.Header.Set("User-Agent", l.s.o.UserAgent)
	answer, err := l.client.Do(request)
	if err != nil {
		var failed *url.Error // whose text has the URL, and so perhaps the token
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return fmt.Errorf("send to the application service: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswerBytes)); err != nil {
		return fmt.Errorf("read the answer of the application service: %w", err)
	}
	switch answer.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return fmt.Errorf("%w: it answers %s", errUnknownPath, answer.Status)
	default:
		return fmt.Errorf("the application service answers %s", answer.Status)
	}
}
