package recorder

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"time"
	"unicode/utf8"

	"homeserver/internal/devkit/filter"
)

// MaxBodyBytes is how much of the body of a request is kept.
const MaxBodyBytes = 64 << 10

// Request is a request with what came of it.
type Request struct {
	N        int64  `json:"n"`
	Method   string `json:"method"`
	Path     string `json:"path"`
	Route    string `json:"route"` // the path of the endpoint; "": there is none
	Query    string `json:"query"`
	UserID   string `json:"user_id"`
	DeviceID string `json:"device_id"`
	// Body is JSON as it was sent; else a string.
	Body json.RawMessage `json:"body,omitempty"`
	// BodyBase64 is a body that is not text.
	BodyBase64    string `json:"body_base64,omitempty"`
	BodyTruncated bool   `json:"body_truncated,omitempty"`
	// Status is 0 where the connection was closed without an answer.
	Status  int       `json:"status"`
	FaultID string    `json:"fault_id,omitempty"`
	At      time.Time `json:"at"`
	// DurationMS is how long it took until the answer began.
	DurationMS float64 `json:"duration_ms"`

	asked filter.Request
}

// New returns a request to be added, as of which the answer is not known yet.
func New(asked *filter.Request, at time.Time) Request {
	return Request{
		Method: asked.Method, Path: asked.Path, Route: asked.Identity.Path, Query: asked.Query,
		UserID: asked.Session.UserID, DeviceID: asked.Session.DeviceID, At: at.UTC(), asked: *asked,
	}
}

// secrets finds what nobody should read in a test's output, in JSON and in what is left of it.
var secrets = regexp.MustCompile(`("(?:access_token|refresh_token|login_token|token|password|new_password|client_secret)"\s*:\s*)"(?:[^"\\]|\\.)*"?`)

// SetBody takes the body as far as it was read.
func (r *Request) SetBody(body []byte, truncated bool) {
	r.BodyTruncated = truncated
	switch body = secrets.ReplaceAll(body, []byte(`$1"…"`)); {
	case len(body) == 0:
	case json.Valid(body):
		r.Body = body
	case utf8.Valid(body):
		r.Body, _ = json.Marshal(string(body)) // a string can always be encoded
	default:
		r.BodyBase64 = base64.StdEncoding.EncodeToString(body)
	}
}

// bytes returns about how much memory the request takes.
func (r *Request) bytes() int {
	const fixed = 512
	return fixed + 2*(len(r.Path)+len(r.Query)) + len(r.Body) + len(r.BodyBase64) + len(r.UserID) + len(r.DeviceID)
}
