package testserver

import (
	"net/http"
	"strings"
	"testing"
)

// Server is a homeserver that runs for a test.
type Server struct {
	// BaseURL is where clients reach it, such as http://127.0.0.1:40123.
	BaseURL string `json:"base_url"`
	// TLSURL is the same with TLS, and CAFile the certificate to trust for that.
	TLSURL string `json:"tls_url"`
	CAFile string `json:"ca_file"`
	// ServerName is the part of user IDs after the colon.
	ServerName string `json:"server_name"`
	// ControlURL is the address of the endpoints behind Fail, Requests and the like.
	ControlURL string `json:"control_url"`
	// Users are those of the options User, Admin and Seed, each once for each device.
	Users []Account `json:"users"`
	// Rooms are those of a seed.
	Rooms []Room `json:"rooms"`

	t      testing.TB
	client *http.Client
}

// Account is a user with a device that is logged in.
type Account struct {
	UserID      string `json:"user_id"`
	DeviceID    string `json:"device_id"`
	AccessToken string `json:"access_token"`
	Password    string `json:"password"`
	Admin       bool   `json:"admin"`
}

// Room is a room of a seed.
type Room struct {
	// ID is the name that the room has in the seed file alone.
	ID     string `json:"id"`
	RoomID string `json:"room_id"`
	Alias  string `json:"alias"`
	Name   string `json:"name"`
}

// Start starts a server, and returns when it answers. The server ends with the test; if the test has failed, the server's log is
// in its output.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	var s settings
	for _, option := range options {
		option(&s)
	}
	server := &Server{t: t, client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(server.client.CloseIdleConnections)
	start(t, &s, server)
	return server
}

// For returns the same server for a subtest: that test is ended where a method of the result fails.
func (s *Server) For(t testing.TB) *Server {
	of := *s
	of.t = t
	return &of
}

// User returns the first device of a user, who may be named without @ and the server's name.
func (s *Server) User(name string) Account {
	s.t.Helper()
	id := name
	if !strings.HasPrefix(id, "@") {
		id = "@" + name + ":" + s.ServerName
	}
	for _, user := range s.Users {
		if user.UserID == id {
			return user
		}
	}
	s.t.Fatalf("testserver: the server was not started with a user %s", id)
	return Account{}
}

// Room returns the ID of a room by the name that it has in the seed file.
func (s *Server) Room(id string) string {
	s.t.Helper()
	for _, room := range s.Rooms {
		if room.ID == id {
			return room.RoomID
		}
	}
	s.t.Fatalf("testserver: there is no room %s in the seed", id)
	return ""
}
