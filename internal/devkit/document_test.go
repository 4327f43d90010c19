package devkit

import (
	"os"
	"path/filepath"
	"testing"

	"homeserver/internal/server/config"
)

func TestDocumentNamesTheListenersForClients(t *testing.T) {
	t.Parallel()
	plain, secure := config.Listener{Address: "localhost:1"}, config.Listener{Address: "localhost:2", TLS: true}
	for _, test := range []struct {
		listeners         []config.Listener
		base, tls, caFile string
	}{
		{[]config.Listener{plain, secure}, "http://127.0.0.1:1", "https://localhost:2", "ca.pem"},
		{[]config.Listener{secure, plain, {Address: "localhost:3"}, {Address: "localhost:4", TLS: true}}, "http://127.0.0.1:1", "https://localhost:2", "ca.pem"},
		{[]config.Listener{plain}, "http://127.0.0.1:1", "", ""},
		{[]config.Listener{secure}, "https://localhost:2", "https://localhost:2", "ca.pem"},
		{[]config.Listener{{Address: "[::1]:5"}}, "http://[::1]:5", "", ""},
		{[]config.Listener{{Address: ":5"}}, "http://127.0.0.1:5", "", ""},
		{[]config.Listener{{Address: "10.0.0.1:5"}}, "http://10.0.0.1:5", "", ""},
	} {
		d := NewDocument("example.org", "ca.pem", test.listeners, Contents{})
		if d.BaseURL != test.base || d.TLSURL != test.tls || d.CAFile != test.caFile || d.ControlURL != test.base+"/_homeserver/dev" {
			t.Errorf("%v: got %+v", test.listeners, d)
		}
	}
}

// A server that takes its time to end must not take the file of its successor with it.
func TestReadyFileOfAnotherServerStays(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ready.json")
	old := NewDocument("example.org", "", []config.Listener{{Address: "localhost:1"}}, Contents{})
	next := NewDocument("example.org", "", []config.Listener{{Address: "localhost:2"}}, Contents{})
	for _, d := range []*Document{old, next} {
		if err := d.WriteFile(file); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		of   *Document
		left bool
	}{{old, true}, {next, false}, {next, false}} {
		if err := step.of.RemoveFile(file); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(file); (err == nil) != step.left || err != nil && !os.IsNotExist(err) {
			t.Errorf("the file: %v, want it left: %v", err, step.left)
		}
	}
	if err := old.RemoveFile(t.TempDir()); err == nil {
		t.Errorf("a folder in its place: %v", err)
	}
}
