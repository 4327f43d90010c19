package media

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func TestDownloadOfWhatThereIsNot(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *Options) { o.AwaitLifetime = time.Hour })
	expired := h.create(t, alice)
	h.clock.Pass(time.Hour)
	id := h.upload(t, alice, "content")
	for name, place := range map[string][2]string{
		"unknown":          {"localhost", "AQwafuaFswefuhsfAFAgsw"},
		"expired":          {"localhost", expired},
		"another server":   {"example.org", id},
		"no server":        {"", id},
		"another case":     {"LOCALHOST", id},
		"a path as server": {"..", id},
		"no ID":            {"localhost", ""},
		"a path":           {"localhost", "../../../etc/passwd"},
		"a dot":            {"localhost", "."},
		"an escape":        {"localhost", "%2e%2e%2fpasswd"},
		"a NUL":            {"localhost", "a\x00b"},
		"no UTF-8":         {"localhost", "\xff\xfe"},
		"too long":         {"localhost", strings.Repeat("a", 256)},
		"letters":          {"localhost", "änderung"},
	} {
		_, err := h.Open(within(t), place[0], place[1], time.Hour)
		matrixtest.WantStatus(t, err, matrix.NotFound, 404, name)
		_, err = h.Thumbnail(within(t), ThumbnailQuery{Server: place[0], MediaID: place[1], Width: 1, Height: 1, Wait: time.Hour})
		matrixtest.WantStatus(t, err, matrix.NotFound, 404, name+": thumbnail")
	}
}

func TestDownloadThatIsTooEarly(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	id := h.create(t, alice)
	for _, wait := range []time.Duration{0, time.Millisecond} {
		_, err := h.Open(within(t), "localhost", id, wait)
		matrixtest.WantStatus(t, err, notYetUploaded, 504, "too early")
	}
	if len(h.arrivals.waiting) != 0 {
		t.Error("something waits that nobody waits for")
	}
}

// watched waits until somebody waits for the upload.
func (h *env) watched(t *testing.T, id string, watchers int) {
	t.Helper()
	matrixtest.Until(t, "somebody waits", func() bool {
		h.arrivals.mu.Lock()
		defer h.arrivals.mu.Unlock()
		of := h.arrivals.waiting[id]
		return of != nil && of.watchers == watchers
	})
}

func TestDownloadWaitsForTheUpload(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	id := h.create(t, alice)
	type result struct {
		file *File
		err  error
	}
	results := make(chan result)
	for range 2 {
		go func() {
			file, err := h.Open(within(t), "localhost", id, time.Hour)
			results <- result{file, err}
		}()
	}
	h.watched(t, id, 2)
	if err := h.UploadTo(t.Context(), alice, "localhost", id, text("at last")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		if content := contentOf(t, r.file); content != "at last" {
			t.Errorf("got %q", content)
		}
	}
	if len(h.arrivals.waiting) != 0 {
		t.Error("something waits that nobody waits for")
	}
}

// TestDownloadFindsWhatCameElsewhere fills the ID by another service, as another
// process would.
func TestDownloadFindsWhatCameElsewhere(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	id := h.create(t, alice)
	found := make(chan error)
	go func() {
		file, err := h.Open(within(t), "localhost", id, time.Hour)
		if err == nil {
			err = file.Close()
		}
		found <- err
	}()
	h.watched(t, id, 1)
	if err := h.another(t, nil).UploadTo(t.Context(), alice, "localhost", id, text("elsewhere")); err != nil {
		t.Fatal(err)
	}
	if err := <-found; err != nil {
		t.Error(err)
	}
}

func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*env, context.CancelFunc) error{
		"with the request": func(_ *env, cancel context.CancelFunc) error { cancel(); return context.Canceled },
		"with the service": func(h *env, _ context.CancelFunc) error { h.Stop(); return errNotYetUploaded },
		"when the ID expires": func(h *env, _ context.CancelFunc) error {
			h.clock.Pass(48 * time.Hour)
			return errNotFound
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newEnv(t, nil)
			id := h.create(t, alice)
			ctx, cancel := context.WithCancel(within(t))
			defer cancel()
			ended := make(chan error)
			go func() {
				_, err := h.Open(ctx, "localhost", id, time.Hour)
				ended <- err
			}()
			h.watched(t, id, 1)
			want := end(h, cancel)
			if err := <-ended; !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
}

// TestFileThatIsGone makes sure that a file which somebody has taken away is an
// error of the server, and not of the client.
func TestFileThatIsGone(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	id := h.upload(t, alice, "content")
	for _, key := range h.files(t) {
		if err := h.storage.Remove(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.Open(t.Context(), "localhost", id, 0)
	if _, public := errors.AsType[*matrix.Error](err); public || err == nil {
		t.Errorf("got %v, want an internal error", err)
	}
}
