package devkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"

	"homeserver/internal/atomicfile"
	"homeserver/internal/server/config"
)

// controlPath is where the endpoints are by which tests control the server.
const controlPath = "/_homeserver/dev"

// Document says to programs where a server is and who its users are. It is what --ready-file and --json write.
type Document struct {
	// BaseURL is for clients: without TLS, if there is such a listener.
	BaseURL string `json:"base_url"`
	// TLSURL is for clients that want TLS; empty: there is no listener with it.
	TLSURL string `json:"tls_url,omitempty"`
	// CAFile is the certificate that clients of TLSURL must trust; empty: they do already.
	CAFile     string `json:"ca_file,omitempty"`
	ServerName string `json:"server_name"`
	// ControlURL is the address of the endpoints by which tests control the server.
	ControlURL string `json:"control_url"`
	// PID is the process of the server.
	PID int `json:"pid"`
	Contents
}

// Contents are what a server has before it answers.
type Contents struct {
	// Users are in the order in which they were asked for, each once for each device that is logged in.
	Users []User `json:"users"`
	// Rooms are those of a seed, in its order.
	Rooms []Room `json:"rooms,omitempty"`
}

// User is a user of a [Document], with a device that is logged in.
type User struct {
	UserID      string `json:"user_id"`
	DeviceID    string `json:"device_id"`
	AccessToken string `json:"access_token"`
	Password    string `json:"password"`
	Admin       bool   `json:"admin"`
}

// Room is a room of a [Document].
type Room struct {
	// ID is the name that the room has in the seed file alone.
	ID     string `json:"id,omitempty"`
	RoomID string `json:"room_id"`
	Alias  string `json:"alias,omitempty"`
	Name   string `json:"name,omitempty"`
}

// NewDocument describes the server of this process, which listens there.
func NewDocument(serverName, caFile string, listeners []config.Listener, there Contents) *Document {
	d := &Document{ServerName: serverName, PID: os.Getpid(), Contents: there}
	if d.Users == nil {
		d.Users = []User{}
	}
	for _, l := range listeners {
		switch {
		case l.TLS && d.TLSURL == "":
			d.TLSURL, d.CAFile = l.URL(), caFile
		case !l.TLS && d.BaseURL == "":
			d.BaseURL = numeric(l).URL()
		}
	}
	if d.BaseURL == "" {
		d.BaseURL = d.TLSURL
	}
	d.ControlURL = d.BaseURL + controlPath
	return d
}

// numeric returns a listener of localhost, or of all addresses, by that of loopback: not every program tries both
// addresses that localhost has.
func numeric(l config.Listener) config.Listener {
	if host, port, err := net.SplitHostPort(l.Address); err == nil && (host == "localhost" || host == "" || host == "0.0.0.0") {
		l.Address = net.JoinHostPort("127.0.0.1", port)
	}
	return l
}

// line returns the document as one line.
func (d *Document) line() ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(d); err != nil {
		return nil, fmt.Errorf("encode the ready document: %w", err)
	}
	return text.Bytes(), nil
}

// Print writes the document as one line.
func (d *Document) Print(w io.Writer) error {
	line, err := d.line()
	if err != nil {
		return err
	}
	if _, err := w.Write(line); err != nil {
		return fmt.Errorf("print the ready document: %w", err)
	}
	return nil
}

// WriteFile makes the file with the document, whole at once. Only the user of this process can read it, because
// it has tokens.
func (d *Document) WriteFile(path string) error {
	line, err := d.line()
	if err != nil {
		return err
	}
	return atomicfile.Write(path, line, 0o600)
}

// RemoveFile removes the file, unless it is missing or another server has written its own there.
func (d *Document) RemoveFile(path string) error {
	line, err := d.line()
	if err != nil {
		return err
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Equal(content, line) {
		return nil
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return fmt.Errorf("remove the ready file: %w", err)
	}
	return nil
}
