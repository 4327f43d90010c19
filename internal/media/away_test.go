package media

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/media/blob/blobtest"
	"homeserver/internal/media/picture/picturetest"
)

// newBucketEnv returns one with a bucket, whichever way the test is run.
func newBucketEnv(t *testing.T, change func(*Options)) *env {
	t.Helper()
	h := newEnv(t, nil)
	h.s3 = blobtest.New(t)
	h.open(t, change)
	return h
}

func wantAway(t *testing.T, what string, err error) {
	t.Helper()
	matrixtest.WantStatus(t, err, matrix.Unknown, 503, what)
	if public, ok := errors.AsType[*matrix.Error](err); !ok || public.RetryAfter <= 0 {
		t.Errorf("%s: clients are not told when to come again", what)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%s: the error has the secret: %v", what, err)
	}
}

// TestStorageThatIsAway asks for everything while the service is down, and again once it
// is back.
func TestStorageThatIsAway(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	h := newBucketEnv(t, nil)
	file := picturetest.JPEG(t, picturetest.Quarters(300, 300))
	known, fresh, announced := h.upload(t, alice, file), h.upload(t, alice, picturetest.PNG(t, picturetest.Quarters(200, 200))), h.create(t, alice)
	q := ThumbnailQuery{Server: "localhost", MediaID: known, Width: 96, Height: 96, Crop: true}
	made, err := h.Thumbnail(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	contentOf(t, made)

	h.s3.Down()
	_, err = h.Open(t.Context(), "localhost", known, 0)
	wantAway(t, "download", err)
	_, err = h.Upload(t.Context(), alice, text("content"))
	wantAway(t, "upload", err)
	wantAway(t, "announced upload", h.UploadTo(t.Context(), alice, "localhost", announced, text("content")))
	_, err = h.Thumbnail(t.Context(), q)
	wantAway(t, "thumbnail that is made", err)
	q.Width = 100
	_, err = h.Thumbnail(t.Context(), q)
	wantAway(t, "another one of the same", err)
	_, err = h.Thumbnail(t.Context(), ThumbnailQuery{Server: "localhost", MediaID: fresh, Width: 96, Height: 96})
	wantAway(t, "one of a file that nobody has looked into", err)
	if err := h.clean(t.Context()); err == nil {
		t.Error("cleaning doesn't tell")
	}
	// What needs no storage goes on.
	if _, _, err := h.Create(t.Context(), alice); err != nil {
		t.Error(err)
	}
	_, err = h.Open(t.Context(), "localhost", announced, 0)
	matrixtest.WantStatus(t, err, notYetUploaded, 504, "what has not come")

	h.s3.Up()
	if content, _ := h.download(t, known); content != file {
		t.Error("another file came back")
	}
	if err := h.UploadTo(t.Context(), alice, "localhost", announced, text("content")); err != nil {
		t.Error(err)
	}
	for _, id := range []string{known, fresh} {
		q.MediaID = id
		thumbnail, err := h.Thumbnail(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		contentOf(t, thumbnail)
	}
	h.mustClean(t)
	h.wantFiles(t, 3)
	used, err := usage(t.Context(), h.pool, alice.UserID)
	if want := charged(int64(len(file))) + 2*4096; used != want || err != nil {
		t.Errorf("%d bytes count towards the quota, want %d, %v", used, want, err)
	}
}

// In TestDownloadThatBreaksOff the service fails when a download has begun already. The
// failure is logged.
func TestDownloadThatBreaksOff(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	var log bytes.Buffer
	h := newBucketEnv(t, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	id := h.upload(t, alice, "content")
	file, err := h.Open(t.Context(), "localhost", id, 0)
	if err != nil {
		t.Fatal(err)
	}
	h.s3.Down()
	if _, err := io.ReadAll(file); err == nil {
		t.Error("it was read to its end")
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "broke off") {
		t.Errorf("the log has %q", &log)
	}

	log.Reset()
	h.s3.Up()
	ctx, cancel := context.WithCancel(t.Context())
	if file, err = h.Open(ctx, "localhost", id, 0); err != nil {
		t.Fatal(err)
	}
	cancel() // the client has gone
	if _, err := io.ReadAll(file); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := file.Close(); err != nil || log.Len() > 0 {
		t.Errorf("%v; the log has %q", err, &log)
	}
}

// TestMadeThumbnailNeedsNoSource counts requests: for a thumbnail that is there the
// picture itself is not touched, not even its header.
func TestMadeThumbnailNeedsNoSource(t *testing.T) {
	t.Parallel()
	h := newBucketEnv(t, nil)
	q := ThumbnailQuery{Server: "localhost", MediaID: h.upload(t, alice, picturetest.JPEG(t, picturetest.Quarters(300, 300))), Width: 96, Height: 96}
	ask := func() (asked []string) {
		h.s3.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			asked = append(asked, r.Method+" "+strings.Split(r.URL.Path, "/")[3])
			return false
		})
		thumbnail, err := h.Thumbnail(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		contentOf(t, thumbnail)
		return asked
	}
	ask()
	if got := strings.Join(ask(), ", "); got != "HEAD thumbnails, GET thumbnails" {
		t.Errorf("asked for %s", got)
	}
	// Neither is a file looked into twice that is no picture.
	q.MediaID = h.upload(t, alice, "no picture")
	for range 2 {
		_, err := h.Thumbnail(t.Context(), q)
		matrixtest.WantStatus(t, err, matrix.Unknown, 400, "no picture")
		h.s3.Down()
	}
}

// TestDiskThatFails has a folder that nothing can be written to.
func TestDiskThatFails(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	id := h.upload(t, alice, "known")
	if err := os.RemoveAll(filepath.Join(h.dir, "temp")); err != nil {
		t.Fatal(err)
	}
	_, err := h.Upload(t.Context(), alice, text("content"))
	wantAway(t, "upload", err)
	if !errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), "no such file") {
		t.Errorf("the log would not tell what is wrong: %v", err)
	}
	if content, _ := h.download(t, id); content != "known" {
		t.Errorf("got %q", content)
	}
}

// TestUploadThatStallsTheStorage makes sure that no connection to the database is held
// while the storage works: all of them are free.
func TestUploadThatStallsTheStorage(t *testing.T) {
	t.Parallel()
	h := newBucketEnv(t, nil)
	going, storing := make(chan struct{}), make(chan struct{}, 100)
	h.s3.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			storing <- struct{}{}
			<-going
		}
		return false
	})
	many := 2 * int(h.pool.Config().MaxConns)
	uploaded := make(chan error, many)
	for i := range many {
		go func() {
			_, err := h.Upload(t.Context(), alice, text(strings.Repeat("x", i+1)))
			uploaded <- err
		}()
	}
	ctx := within(t)
	for range many {
		select {
		case <-storing:
		case <-ctx.Done():
			close(going)
			t.Fatal("not all of them came so far")
		}
	}
	if n := h.pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections to the database are held", n)
	}
	h.create(t, bob)
	close(going)
	for range many {
		if err := <-uploaded; err != nil {
			t.Error(err)
		}
	}
	h.wantFiles(t, many)
}

func TestFileThatIsGoneComesBackByUploading(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	id := h.upload(t, alice, "content")
	for _, key := range h.files(t) {
		if err := h.storage.Remove(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	h.upload(t, bob, "content")
	if content, _ := h.download(t, id); content != "content" {
		t.Errorf("got %q", content)
	}
}

// TestStopEndsCleaning has a storage that never answers.
func TestStopEndsCleaning(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	asked := make(chan struct{})
	s := h.another(t, func(o *Options) { o.Storage = silent{h.storage, asked} })
	s.Start(t.Context())
	<-asked
	s.Stop()
}

type silent struct {
	Storage
	asked chan struct{}
}

func (s silent) Clean(ctx context.Context, _ time.Duration) (int, error) {
	close(s.asked)
	<-ctx.Done()
	return 0, ctx.Err()
}
