package testserver

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// clientPrefix is that of the API of clients.
const clientPrefix = "/_matrix/client/v3"

// Call makes a request as a user, and returns the answer: for what a test needs beside the client that it is about, such as a
// room, or a message of another user. The path is below /_matrix/client/v3, unless it begins with /_; the body, if it is not
// nil, is sent as JSON. The test ends if the server refuses.
//
//	room := server.Call(alice, "POST", "/createRoom", map[string]any{"invite": []string{bot.UserID}})["room_id"].(string)
func (s *Server) Call(as Account, method, path string, body any) map[string]any {
	s.t.Helper()
	if !strings.HasPrefix(path, "/_") {
		path = clientPrefix + path
	}
	var answer map[string]any
	s.request(as.AccessToken, method, s.BaseURL+path, body, &answer)
	return answer
}

// control asks one of the endpoints by which tests control the server.
func (s *Server) control(method, path string, body, into any) {
	s.t.Helper()
	s.request("", method, s.ControlURL+path, body, into)
}

// request sends a request, and decodes the answer unless that is not wanted. The test ends if there is none, or a refusal.
func (s *Server) request(token, method, url string, body, into any) {
	s.t.Helper()
	var sent io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			s.t.Fatalf("testserver: %s %s: %v", method, url, err)
		}
		sent = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(s.t.Context(), method, url, sent)
	if err != nil {
		s.t.Fatalf("testserver: %v", err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := s.client.Do(request)
	if err != nil {
		s.t.Fatalf("testserver: %v", err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		s.t.Fatalf("testserver: %s %s: %v", method, url, err)
	case answer.StatusCode != http.StatusOK:
		s.t.Fatalf("testserver: %s %s: %s: %s", method, url, answer.Status, content)
	case into == nil:
		return
	}
	if err := json.Unmarshal(content, into); err != nil {
		s.t.Fatalf("testserver: %s %s: %v in %s", method, url, err, content)
	}
}
