package main

import (
	"bytes"
	pictures "image"
	"image/png"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"homeserver/internal/matrixtest"
	"homeserver/internal/media/blob/blobtest"
	"homeserver/internal/postgres/postgrestest"
)

const (
	createMedia = "/_matrix/media/v1/create"
	uploadMedia = "/_matrix/media/v3/upload"
	// downloadMedia begins the paths of downloads by those who are logged in.
	downloadMedia = "/_matrix/client/v1/media/download"
)

// mediaHouse is three servers on one database and one storage of files.
type mediaHouse struct {
	daemons []*daemon
	alice   *matrixtest.Client // of the first
}

func newMediaHouse(t *testing.T, storage ...string) *mediaHouse {
	t.Helper()
	dataDir := dataFolder(t)
	environ := append([]string{
		"HOMESERVER_DATABASE_URL=" + postgrestest.URL(t), "HOMESERVER_DATABASE_MAX_CONNECTIONS=4", "HOMESERVER_METRICS_LISTEN=localhost:0",
		"HOMESERVER_RATE_LIMITS_ENABLED=false", "HOMESERVER_REGISTRATION_ENABLED=true",
	}, storage...)
	h := &mediaHouse{}
	for range 3 {
		h.daemons = append(h.daemons, serveFrom(t, dataDir, environ...))
	}
	h.alice = h.daemons[0].client(t).Register("alice", "wordpass")
	return h
}

// at returns alice at one of the servers.
func (h *mediaHouse) at(t *testing.T, i int) *matrixtest.Client {
	t.Helper()
	c := h.alice.As(t)
	c.BaseURL = h.daemons[i].http
	return c
}

// s3Environ configures a server for an S3 service.
func s3Environ(t *testing.T, s *blobtest.Service) []string {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(blobtest.SecretKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{
		"HOMESERVER_MEDIA_STORAGE=s3", "HOMESERVER_MEDIA_S3_ENDPOINT=" + s.URL, "HOMESERVER_MEDIA_S3_REGION=" + blobtest.Region,
		"HOMESERVER_MEDIA_S3_BUCKET=" + blobtest.Bucket, "HOMESERVER_MEDIA_S3_PREFIX=chat/",
		"HOMESERVER_MEDIA_S3_ACCESS_KEY=" + blobtest.AccessKey, "HOMESERVER_MEDIA_S3_SECRET_KEY_FILE=" + secret,
	}
}

// TestMediaOfSeveralServers uses the servers as a proxy does that hands each request to
// another one, and kills one in the middle of an upload.
func TestMediaOfSeveralServers(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	for name, environ := range map[string]func(*testing.T) []string{
		"folder": func(t *testing.T) []string {
			return []string{"HOMESERVER_MEDIA_FOLDER=" + filepath.Join(t.TempDir(), "shared")}
		},
		"bucket": func(t *testing.T) []string { return s3Environ(t, blobtest.New(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newMediaHouse(t, environ(t)...)
			uri := h.at(t, 0).Do("POST", createMedia, nil).OK().String("content_uri")
			path := strings.TrimPrefix(uri, "mxc:/")

			killed := h.at(t, 1)
			half, more := io.Pipe()
			request := killed.Request("PUT", uploadMedia+path, "")
			request.Body, request.ContentLength = half, -1
			broken := make(chan error, 1)
			go func() {
				answer, err := killed.HTTP.Do(request) //nolint:bodyclose // there is no answer
				if err == nil {
					t.Errorf("a server that was killed has answered %s", answer.Status)
				}
				broken <- err
			}()
			if _, err := io.WriteString(more, strings.Repeat("half", 100_000)); err != nil {
				t.Fatal(err)
			}
			h.daemons[1].end(syscall.SIGKILL)
			_ = more.CloseWithError(io.ErrUnexpectedEOF) // nobody is left to write to
			if err := <-broken; err == nil {
				t.Error("half an upload was taken")
			}
			h.at(t, 2).Do("GET", downloadMedia+path+"?timeout_ms=0", nil).Refused(504, "M_NOT_YET_UPLOADED")

			waiting := make(chan *matrixtest.Response, 1)
			go func() { waiting <- h.at(t, 2).Do("GET", downloadMedia+path+"?timeout_ms=60000", nil) }()
			h.daemons[2].untilWaiting(t, 1)
			var picture bytes.Buffer
			if err := png.Encode(&picture, pictures.NewGray(pictures.Rect(0, 0, 200, 200))); err != nil {
				t.Fatal(err)
			}
			h.at(t, 0).Do("PUT", uploadMedia+path, picture.String()).OK()
			if r := (<-waiting).OK(); !bytes.Equal(r.Body, picture.Bytes()) {
				t.Errorf("%d bytes came to the one who waited, want %d", len(r.Body), picture.Len())
			}

			part := h.at(t, 2).Request("GET", downloadMedia+path, nil)
			part.Header.Set("Range", "bytes=1-3")
			if r := h.at(t, 2).Send(part); r.Status != http.StatusPartialContent || string(r.Body) != "PNG" {
				t.Errorf("a part: got %d, %q", r.Status, r.Body)
			}
			thumbnail := strings.Replace(downloadMedia, "download", "thumbnail", 1) + path + "?width=96&height=96"
			first, second := h.at(t, 0).Do("GET", thumbnail, nil).OK(), h.at(t, 2).Do("GET", thumbnail, nil).OK()
			if !bytes.Equal(first.Body, second.Body) || first.Header.Get("Content-Type") != "image/jpeg" {
				t.Errorf("the thumbnails are %d and %d bytes of %s", len(first.Body), len(second.Body), first.Header.Get("Content-Type"))
			}
		})
	}
}

// TestS3ServiceThatIsAway starts a server while its S3 service is down. It serves all
// but files, and files too once the service is up.
func TestS3ServiceThatIsAway(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	s := blobtest.New(t)
	s.Down()
	d := serveFrom(t, dataFolder(t), append(s3Environ(t, s), "HOMESERVER_DATABASE_URL="+postgrestest.URL(t), "HOMESERVER_REGISTRATION_ENABLED=true")...)
	if !d.stderr.waitFor("the storage of files does not answer as it should") {
		t.Error("the log does not tell at the start")
	}
	alice := d.client(t).Register("alice", "wordpass")
	alice.CreateRoom(nil)
	r := alice.Do("POST", uploadMedia, "content").Refused(503, "M_UNKNOWN")
	if r.Header.Get("Retry-After") == "" {
		t.Error("clients are not told when to come again")
	}
	if !d.stderr.waitFor("request refused") {
		t.Error("the log does not tell of the upload")
	}
	if log := d.stderr.String(); !strings.Contains(log, "in the bucket") || strings.Contains(log, blobtest.SecretKey) {
		t.Errorf("the log has\n%s", log)
	}
	s.Up()
	path := strings.TrimPrefix(alice.Do("POST", uploadMedia, "content").OK().String("content_uri"), "mxc:/")
	s.Down()
	alice.Do("GET", downloadMedia+path, nil).Refused(503, "M_UNKNOWN")
	s.Up()
	if r := alice.Do("GET", downloadMedia+path, nil).OK(); string(r.Body) != "content" {
		t.Errorf("got %q", r.Body)
	}
}
