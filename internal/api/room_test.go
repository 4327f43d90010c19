package api

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"homeserver/internal/matrixtest"
	"homeserver/internal/media"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/server/disk"
)

// smallServer is a server whose disks a test fills.
type smallServer struct {
	*matrixtest.Client
	database, files atomic.Bool // whether they are nearly full
}

func newSmallServer(t *testing.T) *smallServer {
	t.Helper()
	s := &smallServer{}
	check := func(full *atomic.Bool) func() error {
		return func() error {
			if full.Load() {
				return disk.ErrFull
			}
			return nil
		}
	}
	pool := postgrestest.New(t)
	opts := servicesOn(t, pool)
	var err error
	opts.HTTP.Room = check(&s.database)
	opts.Media, err = media.New(media.Options{
		Pool: pool, Dir: t.TempDir(), ServerName: "localhost", Log: opts.HTTP.Logger, Room: check(&s.files),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opts.Media.Stop)
	s.Client = matrixtest.New(t, newAPI(t, opts).Handler())
	return s
}

func refusedForRoom(t *testing.T, r *matrixtest.Response) {
	t.Helper()
	r.Refused(503, "M_UNKNOWN")
	wantHeader(t, r, "Retry-After", "60")
	if !strings.Contains(string(r.Body), "disk is nearly full") {
		t.Errorf("nobody learns why: %s", r.Body)
	}
}

// TestDiskWasFilledToItsLastByte: whatever users sent was taken until PostgreSQL could
// not even delete any more.
func TestDiskWasFilledToItsLastByte(t *testing.T) {
	t.Parallel()
	s := newSmallServer(t)
	alice, phone := s.Register("alice", "wordpass"), s.Register("bob", "wordpass")
	room := alice.CreateRoom(nil)
	event := alice.SendText(room, "before")
	in := matrixtest.Path("rooms", room)
	tag := matrixtest.Path("user", alice.UserID, "rooms", room, "tags", "u.work")
	alice.Do("PUT", tag, `{}`).OK()

	s.database.Store(true)
	for _, call := range [][3]string{
		{"PUT", in + "/send/m.room.message/1", `{"body":"x"}`}, {"PUT", in + "/state/m.room.topic", `{"topic":"x"}`},
		{"POST", "/createRoom", `{}`}, {"POST", "/join/" + room, `{}`}, {"POST", in + "/invite", `{"user_id":"@bob:localhost"}`},
		{"PUT", tag, `{"order":0.5}`}, {"PUT", matrixtest.Path("user", alice.UserID, "account_data", "a"), `{}`},
		{"PUT", matrixtest.Path("profile", alice.UserID, "displayname"), `{"displayname":"A"}`},
		{"POST", in + "/receipt/m.read/" + event, `{}`}, {"POST", mediaV3 + "/upload", "x"}, {"POST", "/_matrix/media/v1/create", ""},
	} {
		refusedForRoom(t, alice.Do(call[0], call[1], call[2]))
	}
	refusedForRoom(t, s.Do("POST", "/register", `{"username":"carol","password":"wordpass","auth":{"type":"m.login.dummy"}}`))

	since := alice.Sync("").NextBatch()
	for _, path := range []string{in + "/messages?dir=b", in + "/state", tag[:strings.LastIndex(tag, "/")], "/sync?since=" + since + "&timeout=0"} {
		alice.Do("GET", path, nil).OK()
	}
	alice.Do("POST", matrixtest.Path("user", alice.UserID, "filter"), `{"room":{"timeline":{"limit":3}}}`).OK()
	alice.Do("PUT", matrixtest.Path("rooms", room, "typing", alice.UserID), `{"typing":true}`).OK()
	alice.Do("PUT", in+"/redact/"+event+"/2", `{}`).OK()
	alice.Do("DELETE", tag, nil).OK()
	again := s.Do("POST", "/login", `{"type":"m.login.password","user":"alice","password":"wordpass"}`).OK()
	if again.String("access_token") == "" {
		t.Error("nobody can log in to read")
	}
	phone.Do("POST", "/logout", nil).OK()

	s.database.Store(false)
	alice.SendText(room, "after")
}

func TestDiskOfFilesIsNearlyFull(t *testing.T) {
	t.Parallel()
	s := newSmallServer(t)
	alice := s.Register("alice", "wordpass")
	path := upload(alice, "image/png", "", picture(t, 200, 200))
	thumbnail := func(side string) *matrixtest.Response {
		return alice.Do("GET", mediaAuthed+"/thumbnail"+path+"?width="+side+"&height="+side, nil)
	}
	thumbnail("32").OK()
	later := mediaPath(alice, alice.Do("POST", "/_matrix/media/v1/create", nil).OK().String("content_uri"))

	s.files.Store(true)
	refusedForRoom(t, sendFile(alice, "POST", mediaV3+"/upload", "text/plain", "x"))
	refusedForRoom(t, sendFile(alice, "PUT", mediaV3+"/upload"+later, "text/plain", "x"))
	refusedForRoom(t, alice.Do("POST", "/_matrix/media/v1/create", nil))
	refusedForRoom(t, thumbnail("96"))
	thumbnail("32").OK()
	alice.Do("GET", mediaAuthed+"/download"+path, nil).OK()
	alice.SendText(alice.CreateRoom(nil), "no trouble of mine")

	s.files.Store(false)
	sendFile(alice, "PUT", mediaV3+"/upload"+later, "text/plain", "x").OK()
	thumbnail("96").OK()
}

func TestReadingAndRemovingNeedNoRoom(t *testing.T) {
	t.Parallel()
	for _, rt := range routes() {
		if reads := rt.Method == http.MethodGet || rt.Method == http.MethodDelete; reads && bool(rt.Work.Grows) {
			t.Errorf("%s %s is refused while the disk is nearly full", rt.Method, rt.Path)
		}
	}
}
