package matrixtest

import (
	"encoding/json"
	"net/http"
	"testing"
)

// Response is an answer, read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte

	t    testing.TB
	what string // method and path, for failures
}

// OK fails the test unless the status is 200, and returns the response.
func (r *Response) OK() *Response {
	r.t.Helper()
	if r.Status != http.StatusOK {
		r.t.Fatalf("%s: status %d, want 200: %s", r.what, r.Status, r.Body)
	}
	return r
}

// Refused fails the test unless the answer is an error with that status and
// errcode and a message for people, and returns the response.
func (r *Response) Refused(status int, errcode string) *Response {
	r.t.Helper()
	if r.Status != status || r.Errcode() != errcode {
		r.t.Fatalf("%s: %d %s, want %d %s: %s", r.what, r.Status, r.Errcode(), status, errcode, r.Body)
	}
	if r.String("error") == "" {
		r.t.Fatalf("%s: no error message: %s", r.what, r.Body)
	}
	return r
}

// Errcode returns the errcode of an answer, and "" if it has none.
func (r *Response) Errcode() string {
	var body struct {
		Errcode string `json:"errcode"`
	}
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return ""
	}
	return body.Errcode
}

// Into decodes the body.
func (r *Response) Into(v any) {
	r.t.Helper()
	if err := json.Unmarshal(r.Body, v); err != nil {
		r.t.Fatalf("%s: answer is not the JSON expected: %v: %s", r.what, err, r.Body)
	}
}

// into decodes a value that At has found, if it has found one.
func (r *Response) into(value, v any) {
	r.t.Helper()
	content, err := json.Marshal(value)
	if err != nil {
		r.t.Fatalf("%s: encode a part of the answer: %v", r.what, err)
	}
	if err := json.Unmarshal(content, v); err != nil {
		r.t.Fatalf("%s: a part of the answer is not what the test expects: %v: %s", r.what, err, content)
	}
}

// At returns the JSON value at a place: names of members and indexes of elements from
// the top. It returns nil where there is nothing; whole numbers are float64.
func (r *Response) At(place ...any) any {
	r.t.Helper()
	var value any
	r.Into(&value)
	for _, step := range place {
		switch step := step.(type) {
		case string:
			object, _ := value.(map[string]any)
			value = object[step]
		case int:
			array, _ := value.([]any)
			if step >= len(array) {
				return nil
			}
			value = array[step]
		default:
			r.t.Fatalf("a place in JSON is made of names and indexes, not %T", step)
		}
	}
	return value
}

// String returns the string at a place, and "" where there is none.
func (r *Response) String(place ...any) string {
	r.t.Helper()
	text, _ := r.At(place...).(string)
	return text
}
