package matrixtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Client is a Matrix client, logged in or not. Its fields may be changed: a test
// of an old generation of the API sets Prefix, one of wrong tokens sets Token.
type Client struct {
	T        testing.TB
	BaseURL  string       // of the server, without a slash at the end
	Prefix   string       // of the paths in calls of Do; /_matrix/client/v3 at first
	HTTP     *http.Client // never follows redirects
	UserID   string
	DeviceID string
	Token    string // sent as Bearer unless empty
}

// New starts a server with the handler, which ends with the test, and returns a client
// for it that is not logged in.
func New(t testing.TB, handler http.Handler) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return At(t, server.URL, server.Client())
}

// At returns a client, not logged in, for a running server.
func At(t testing.TB, baseURL string, using *http.Client) *Client {
	own := *using
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{T: t, BaseURL: strings.TrimSuffix(baseURL, "/"), Prefix: "/_matrix/client/v3", HTTP: &own}
}

// Register makes an account, and returns a client that is logged in to it.
func (c *Client) Register(username, password string) *Client {
	c.T.Helper()
	return c.session(c.Do("POST", "/register", map[string]any{
		"username": username, "password": password, "auth": map[string]any{"type": "m.login.dummy"},
	}))
}

// Login logs in to an account on a new device, and returns a client for it.
func (c *Client) Login(user, password string) *Client {
	c.T.Helper()
	return c.session(c.Do("POST", "/login", map[string]any{
		"type": "m.login.password", "password": password,
		"identifier": map[string]any{"type": "m.id.user", "user": user},
	}))
}

func (c *Client) session(r *Response) *Client {
	c.T.Helper()
	r.OK()
	in := *c
	in.UserID, in.DeviceID, in.Token = r.String("user_id"), r.String("device_id"), r.String("access_token")
	return &in
}

// As returns the same client for another test, such as a subtest.
func (c *Client) As(t testing.TB) *Client {
	other := *c
	other.T = t
	return &other
}

// Do sends a request and returns the whole answer. The path is below the
// client's prefix unless it begins with /_ or /. ; it may have a query string, and
// is sent unchanged. The body may be nil for none, a string, bytes or raw JSON, which
// are sent unchanged, or any other value, which is encoded as JSON.
func (c *Client) Do(method, path string, body any) *Response {
	c.T.Helper()
	return c.Send(c.Request(method, path, body))
}

// Send sends a request that Request has made, and returns the whole answer.
func (c *Client) Send(request *http.Request) *Response {
	c.T.Helper()
	what := request.Method + " " + request.URL.Path
	answer, err := c.HTTP.Do(request)
	if err != nil {
		c.T.Fatalf("%s: %v", what, err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		c.T.Fatalf("%s: read the answer: %v", what, err)
	}
	return &Response{t: c.T, what: what, Status: answer.StatusCode, Header: answer.Header, Body: content}
}

// Request makes the request that Do would send, for tests that change it before they
// pass it to Send.
func (c *Client) Request(method, path string, body any) *http.Request {
	c.T.Helper()
	if !strings.HasPrefix(path, "/_") && !strings.HasPrefix(path, "/.") {
		path = c.Prefix + path
	}
	request, err := http.NewRequestWithContext(c.T.Context(), method, c.BaseURL+path, c.reader(body))
	if err != nil {
		c.T.Fatalf("%s %s: %v", method, path, err)
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return request
}

func (c *Client) reader(body any) io.Reader {
	switch body := body.(type) {
	case nil:
		return http.NoBody
	case string:
		return strings.NewReader(body)
	case []byte:
		return bytes.NewReader(body)
	case json.RawMessage:
		return bytes.NewReader(body)
	default:
		content, err := json.Marshal(body)
		if err != nil {
			c.T.Fatalf("encode the body: %v", err)
		}
		return bytes.NewReader(content)
	}
}

// Path joins the parts of a path, each escaped, with a slash before each.
func Path(parts ...string) string {
	var path strings.Builder
	for _, part := range parts {
		path.WriteString("/" + url.PathEscape(part))
	}
	return path.String()
}
