package turn

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrix"
)

var servers = []string{"turn:turn.example.org?transport=udp", "turns:turn.example.org:443"}

func TestCredentialsOfASharedSecret(t *testing.T) {
	t.Parallel()
	s := New(Options{
		URIs: servers, SharedSecret: "north", Username: "unused", Lifetime: time.Hour,
		Now: func() time.Time { return time.Unix(1443776031, 5) },
	})
	got, err := s.Credentials("@alice:example.org", false)
	if err != nil {
		t.Fatal(err)
	}
	// openssl dgst -sha1 -hmac north -binary <<< the user name, without a line feed
	want := &Credentials{
		Username: "1443779631:@alice:example.org", Password: "8UEQexfdhsgCaPlmAo/GVjLRbV4=", URIs: servers, Lifetime: 3600,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFixedCredentials(t *testing.T) {
	t.Parallel()
	s := New(Options{URIs: servers, Username: "all", Password: "secret", Lifetime: time.Minute})
	got, err := s.Credentials("@alice:example.org", false)
	want := &Credentials{Username: "all", Password: "secret", URIs: servers, Lifetime: 60}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestWithoutAServerThereIsNothing(t *testing.T) {
	t.Parallel()
	for _, guest := range []bool{false, true} {
		if got, err := New(Options{SharedSecret: "x"}).Credentials("@alice:example.org", guest); got != nil || err != nil {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func TestGuestsNeedPermission(t *testing.T) {
	t.Parallel()
	s := New(Options{URIs: servers, SharedSecret: "x", Lifetime: time.Hour})
	if _, err := s.Credentials("@1:example.org", true); !matrix.IsCode(err, matrix.GuestAccessForbidden) {
		t.Errorf("got %v", err)
	}
	s = New(Options{URIs: servers, SharedSecret: "x", Lifetime: time.Hour, AllowGuests: true})
	if c, err := s.Credentials("@1:example.org", true); c == nil || err != nil {
		t.Errorf("got %+v, %v", c, err)
	}
}
