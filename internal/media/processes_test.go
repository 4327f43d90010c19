package media

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/media/picture/picturetest"
)

// TestThreeProcesses announces an upload to one process, makes it to another, and has a
// third wait for it, as three do who share a database and a storage.
func TestThreeProcesses(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	id := h.create(t, alice)
	third := &env{Service: h.another(t, nil), pool: h.pool}
	came := make(chan string, 1)
	go func() {
		file, err := third.Open(within(t), "localhost", id, time.Hour)
		if err != nil {
			t.Error(err)
			close(came)
			return
		}
		came <- contentOf(t, file)
	}()
	third.watched(t, id, 1)
	second := h.another(t, nil)
	matrixtest.WantStatus(t, second.UploadTo(t.Context(), bob, "localhost", id, text("mine")), matrix.Forbidden, 403, "somebody else's")
	if err := second.UploadTo(t.Context(), alice, "localhost", id, text("from elsewhere")); err != nil {
		t.Fatal(err)
	}
	if got := <-came; got != "from elsewhere" {
		t.Errorf("got %q", got)
	}
	matrixtest.WantStatus(t, h.UploadTo(t.Context(), alice, "localhost", id, text("x")), cannotOverwrite, 409, "again")
	h.wantFiles(t, 1)
}

func TestProcessesKeepTheSameContentOnce(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	processes := []*Service{h.Service, h.another(t, nil)}
	var uploading sync.WaitGroup
	for i := range 12 {
		uploading.Go(func() {
			uri, err := processes[i%2].Upload(t.Context(), alice, text(fmt.Sprint("same", i%3)))
			if err != nil {
				t.Error(err)
				return
			}
			if content, _ := (&env{Service: processes[1-i%2]}).download(t, idOf(t, uri)); content != fmt.Sprint("same", i%3) {
				t.Errorf("got %q", content)
			}
		})
	}
	uploading.Wait()
	h.wantFiles(t, 3)
}

func TestProcessesShareQuotasAndLimits(t *testing.T) {
	t.Parallel()
	const fit = 3
	limited := func(o *Options) { o.UserQuotaBytes, o.MaxAwaited = fit*4096, fit }
	h := newEnv(t, limited)
	processes := []*Service{h.Service, h.another(t, limited)}
	var working sync.WaitGroup
	var mu sync.Mutex
	kept, created := 0, 0
	for i := range 10 {
		working.Go(func() {
			_, uploading := processes[i%2].Upload(t.Context(), alice, text(strings.Repeat("x", i+1)))
			_, _, creating := processes[i%2].Create(t.Context(), alice)
			mu.Lock()
			defer mu.Unlock()
			if uploading == nil {
				kept++
			} else {
				matrixtest.WantStatus(t, uploading, matrix.Forbidden, 403, "beyond the quota")
			}
			if creating == nil {
				created++
			} else {
				matrixtest.WantStatus(t, creating, matrix.LimitExceeded, 429, "too many")
			}
		})
	}
	working.Wait()
	if kept != fit || created != fit {
		t.Errorf("%d files were kept and %d announced, want %d", kept, created, fit)
	}
	h.wantFiles(t, fit)
}

func TestProcessesShareThumbnails(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	other := h.another(t, nil)
	q := ThumbnailQuery{Server: "localhost", MediaID: h.upload(t, alice, picturetest.JPEG(t, picturetest.Quarters(300, 300))), Width: 96, Height: 96, Crop: true}
	first, err := h.Thumbnail(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	contentOf(t, first)
	// What is there is not made again: a mark in its place comes back.
	mark := picturetest.PNG(t, picturetest.Quarters(1, 1))
	h.overwrite(t, h.files(t)[1], mark)
	second, err := other.Thumbnail(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if contentOf(t, second) != mark || second.ETag != first.ETag {
		t.Error("it was made again")
	}
}

// TestThumbnailThatIsGone makes sure that a thumbnail which somebody has taken away, or
// which a killed process has recorded only, is made again.
func TestThumbnailThatIsGone(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	q := ThumbnailQuery{Server: "localhost", MediaID: h.upload(t, alice, picturetest.JPEG(t, picturetest.Quarters(300, 300))), Width: 96, Height: 96, Crop: true}
	for range 2 {
		thumbnail, err := h.Thumbnail(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		contentOf(t, thumbnail)
		if err := h.storage.Remove(t.Context(), h.files(t)[1]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestThumbnailThatIsMadeAgainMeanwhile has one process make a thumbnail while another
// removes it to make room: its record stays, so that it is counted.
func TestThumbnailThatIsMadeAgainMeanwhile(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	ctx, of := t.Context(), hash{1}
	if err := insertThumbnail(ctx, h.pool, of, "1x1", "image/png"); err != nil {
		t.Fatal(err)
	}
	old, err := oldThumbnails(ctx, h.pool, of, 0)
	if err != nil || len(old) != 1 {
		t.Fatalf("there are %v, %v", old, err)
	}
	for _, want := range []string{"image/jpeg", ""} {
		if want != "" {
			err = insertThumbnail(ctx, h.pool, of, "1x1", want)
		} else if old, err = oldThumbnails(ctx, h.pool, of, 0); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := deleteThumbnail(ctx, h.pool, of, old[0]); err != nil {
			t.Fatal(err)
		}
		if got, err := thumbnailType(ctx, h.pool, of, "1x1"); got != want || err != nil {
			t.Errorf("got %q, want %q, %v", got, want, err)
		}
	}
}
