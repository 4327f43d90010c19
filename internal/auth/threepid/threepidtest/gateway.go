package threepidtest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"
)

// Gateway receives text messages by POST, as {"to","text"}.
type Gateway struct {
	URL string

	mu       sync.Mutex
	messages []Text
	status   int
}

// Text is a text message that was sent.
type Text struct {
	To            string `json:"to"`
	Text          string `json:"text"`
	Authorization string `json:"-"` // of the request
}

// NewGateway starts a gateway.
func NewGateway(t testing.TB) *Gateway {
	t.Helper()
	g := &Gateway{status: http.StatusAccepted}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		text := Text{Authorization: r.Header.Get("Authorization")}
		if err := json.NewDecoder(r.Body).Decode(&text); err != nil || r.Method != http.MethodPost {
			t.Errorf("%s to the gateway: %v", r.Method, err)
		}
		w.WriteHeader(g.status)
		if g.status < 300 {
			g.messages = append(g.messages, text)
		}
	}))
	t.Cleanup(server.Close)
	g.URL = server.URL
	return g
}

// Answer sets the status of the gateway's answers. From 300 on it sends no messages.
func (g *Gateway) Answer(status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status = status
}

// Messages lists the messages that were sent.
func (g *Gateway) Messages() []Text {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]Text(nil), g.messages...)
}

// Last returns the message that was sent last; the test fails where there is none.
func (g *Gateway) Last(t testing.TB) Text {
	t.Helper()
	all := g.Messages()
	if len(all) == 0 {
		t.Fatal("no text message was sent")
	}
	return all[len(all)-1]
}

var code = regexp.MustCompile(`\b\d{6}\b`)

// Code returns the code in a message, and "" where there is none.
func (m Text) Code() string { return code.FindString(m.Text) }
