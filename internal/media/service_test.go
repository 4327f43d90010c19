package media

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func TestUploadAndDownload(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	u := text("War and Peace")
	u.Filename = "Война и мир.txt"
	uri, err := h.Upload(t.Context(), alice, u)
	if err != nil {
		t.Fatal(err)
	}
	content, file := h.download(t, idOf(t, uri))
	if content != "War and Peace" || file.ContentType != "text/plain" || file.Filename != "Война и мир.txt" {
		t.Errorf("got %q, %q, %q", content, file.ContentType, file.Filename)
	}
	if !file.Modified.Equal(h.clock.Now()) || len(file.ETag) != 64 {
		t.Errorf("got modified %v, ETag %q", file.Modified, file.ETag)
	}
	h.wantFiles(t, 1)
}

func TestUploadOfNothingAtAll(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	if content, _ := h.download(t, h.upload(t, alice, "")); content != "" {
		t.Errorf("got %q", content)
	}
}

func TestUploadOfUnknownLength(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	uri, err := h.Upload(t.Context(), alice, Upload{Body: strings.NewReader("chunks"), Bytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	content, file := h.download(t, idOf(t, uri))
	if content != "chunks" || file.ContentType != "application/octet-stream" || file.Filename != "" {
		t.Errorf("got %q, %q, %q", content, file.ContentType, file.Filename)
	}
}

func TestSameContentIsKeptOnce(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	h := newEnv(t, nil)
	first, second := h.upload(t, alice, "same"), h.upload(t, bob, "same")
	if first == second {
		t.Error("two uploads have the same ID")
	}
	for _, id := range []string{first, second} {
		if content, _ := h.download(t, id); content != "same" {
			t.Errorf("got %q", content)
		}
	}
	h.wantFiles(t, 1)
	h.upload(t, alice, "different")
	h.wantFiles(t, 2)
}

func TestSameContentAtTheSameTime(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	var uploading sync.WaitGroup
	for range 8 {
		uploading.Go(func() {
			if content, _ := h.download(t, h.upload(t, alice, "same")); content != "same" {
				t.Errorf("got %q", content)
			}
		})
	}
	uploading.Wait()
	h.wantFiles(t, 1)
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                          "application/octet-stream",
		"image/png":                 "image/png",
		"Text/HTML; charset=\"x\"":  "Text/HTML; charset=\"x\"",
		"application/vnd.a+b;v=1":   "application/vnd.a+b;v=1",
		"nonsense; =":               "application/octet-stream",
		"text/plain\r\nX-Evil: yes": "application/octet-stream",
		"text/plain; a=\"\xff\"":    "application/octet-stream",
		"text/\x00":                 "application/octet-stream",
		"text/plain; a=" + strings.Repeat("x", 300): "application/octet-stream",
	} {
		if got := cleanContentType(given); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}

func TestSizeIsLimited(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *Options) { o.MaxUploadBytes = 1000 })
	if n := h.MaxUploadBytes(); n != 1000 {
		t.Errorf("clients are told of %d bytes", n)
	}
	h.upload(t, alice, strings.Repeat("x", 1000))
	for name, u := range map[string]Upload{
		"announced":     {Body: failing{}, Bytes: 1001},
		"not announced": {Body: &repeated{1001}, Bytes: -1},
		"a lie":         {Body: &repeated{1 << 40}, Bytes: 5},
	} {
		_, err := h.Upload(t.Context(), alice, u)
		matrixtest.WantStatus(t, err, matrix.TooLarge, 413, name)
	}
	_, err := h.Upload(t.Context(), alice, Upload{Body: strings.NewReader(""), Filename: strings.Repeat("x", 1025)})
	matrixtest.WantStatus(t, err, matrix.InvalidParam, 400, "a long name")
	h.wantFiles(t, 1)
}

// TestQuota makes sure that files count in blocks of 4 KiB.
func TestQuota(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *Options) { o.UserQuotaBytes = 5 * 4096 })
	h.upload(t, alice, strings.Repeat("x", 4097)) // two blocks
	h.upload(t, alice, "y")
	h.upload(t, alice, "")
	_, err := h.Upload(t.Context(), alice, Upload{Body: failing{}, Bytes: 4097})
	matrixtest.WantStatus(t, err, matrix.Forbidden, 403, "announced")
	_, err = h.Upload(t.Context(), alice, Upload{Body: &repeated{4097}, Bytes: -1})
	matrixtest.WantStatus(t, err, matrix.Forbidden, 403, "not announced")
	h.wantFiles(t, 3)

	h.upload(t, alice, strings.Repeat("x", 4097)[:4096])
	_, err = h.Upload(t.Context(), alice, text(""))
	matrixtest.WantStatus(t, err, matrix.Forbidden, 403, "used up")
	h.upload(t, bob, "z")
}

func TestQuotaHoldsForUploadsAtTheSameTime(t *testing.T) {
	t.Parallel()
	const fit = 3
	h := newEnv(t, func(o *Options) { o.UserQuotaBytes = fit * 4096 })
	var uploading sync.WaitGroup
	var mu sync.Mutex
	kept := 0
	for i := range 10 {
		uploading.Go(func() {
			_, err := h.Upload(t.Context(), alice, text(strings.Repeat("x", i+1)))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				kept++
			} else {
				matrixtest.WantStatus(t, err, matrix.Forbidden, 403, "beyond the quota")
			}
		})
	}
	uploading.Wait()
	if kept != fit {
		t.Errorf("%d files were kept, want %d", kept, fit)
	}
	h.wantFiles(t, fit)
}

func TestBrokenUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	if _, err := h.Upload(t.Context(), alice, Upload{Body: broken("half of"), Bytes: 100}); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the error of the body", err)
	}
	id := h.create(t, alice)
	if err := h.UploadTo(t.Context(), alice, "localhost", id, Upload{Body: broken("half of"), Bytes: -1}); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the error of the body", err)
	}
	h.wantFiles(t, 0)
	used, err := usage(t.Context(), h.pool, alice.UserID)
	if used != 0 || err != nil {
		t.Errorf("%d bytes count towards the quota, %v", used, err)
	}
	if err := h.UploadTo(t.Context(), alice, "localhost", id, text("whole")); err != nil {
		t.Errorf("the second attempt: %v", err)
	}
}

// TestDatabaseThatFailsLeavesNothing makes sure that no file is put in place
// before the database has taken its record.
func TestDatabaseThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	if _, err := h.pool.Exec(t.Context(), `ALTER TABLE media ADD CHECK (bytes <> 7)`); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Upload(t.Context(), alice, text("refused")); err == nil {
		t.Error("the upload succeeded")
	}
	h.wantFiles(t, 0)
}

func TestCreateAndUploadLater(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *Options) { o.AwaitLifetime = time.Hour })
	uri, expiresAt, err := h.Create(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	if want := h.clock.Now().Add(time.Hour).UnixMilli(); expiresAt != want {
		t.Errorf("expires at %d, want %d", expiresAt, want)
	}
	id := idOf(t, uri)
	matrixtest.WantStatus(t, h.UploadTo(t.Context(), bob, "localhost", id, text("mine")), matrix.Forbidden, 403, "somebody else's")
	if err := h.UploadTo(t.Context(), alice, "localhost", id, text("first")); err != nil {
		t.Fatal(err)
	}
	matrixtest.WantStatus(t, h.UploadTo(t.Context(), alice, "localhost", id, text("second")), cannotOverwrite, 409, "again")
	if content, _ := h.download(t, id); content != "first" {
		t.Errorf("got %q", content)
	}
	h.clock.Pass(2 * time.Hour)
	if content, _ := h.download(t, id); content != "first" {
		t.Errorf("when an unused ID would have expired: got %q", content)
	}
}

func TestUploadToWhatWasNotCreated(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *Options) { o.AwaitLifetime = time.Hour })
	expired := h.create(t, alice)
	h.clock.Pass(time.Hour)
	for name, place := range map[string][2]string{
		"unknown":        {"localhost", "abc"},
		"expired":        {"localhost", expired},
		"another server": {"example.org", h.create(t, alice)},
		"a path":         {"localhost", "../../etc/passwd"},
	} {
		err := h.UploadTo(t.Context(), alice, place[0], place[1], text("content"))
		matrixtest.WantStatus(t, err, matrix.NotFound, 404, name)
	}
	uploaded := h.upload(t, alice, "content")
	matrixtest.WantStatus(t, h.UploadTo(t.Context(), alice, "localhost", uploaded, text("other")), cannotOverwrite, 409, "an upload")
}

// TestTwoUploadsToOneID makes sure that of two that are on their way at the same
// time one wins, and nothing is left of the other.
func TestTwoUploadsToOneID(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	id := h.create(t, alice)
	slow, first := io.Pipe()
	done := make(chan error)
	go func() {
		done <- h.UploadTo(t.Context(), alice, "localhost", id, Upload{Body: slow, Bytes: -1})
	}()
	if _, err := io.WriteString(first, "sl"); err != nil { // returns once it is being received
		t.Fatal(err)
	}
	if err := h.UploadTo(t.Context(), alice, "localhost", id, text("fast")); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	matrixtest.WantStatus(t, <-done, cannotOverwrite, 409, "the slow one")
	if content, _ := h.download(t, id); content != "fast" {
		t.Errorf("got %q", content)
	}
	h.wantFiles(t, 1)
}

func TestUploadThatComesTooLate(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	id := h.create(t, alice)
	late := readerFunc(func([]byte) (int, error) {
		h.clock.Pass(25 * time.Hour)
		return 0, io.EOF
	})
	err := h.UploadTo(t.Context(), alice, "localhost", id, Upload{Body: late, Bytes: -1})
	matrixtest.WantStatus(t, err, matrix.NotFound, 404, "too late")
	h.wantFiles(t, 0)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestAnnouncedUploadsAreLimited(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *Options) { o.MaxAwaited, o.AwaitLifetime = 2, time.Hour })
	first := h.create(t, alice)
	h.create(t, alice)
	_, _, err := h.Create(t.Context(), alice)
	matrixtest.WantStatus(t, err, matrix.LimitExceeded, 429, "a third")
	h.create(t, bob)
	if err := h.UploadTo(t.Context(), alice, "localhost", first, text("content")); err != nil {
		t.Fatal(err)
	}
	h.create(t, alice)
	_, _, err = h.Create(t.Context(), alice)
	matrixtest.WantStatus(t, err, matrix.LimitExceeded, 429, "a third once more")
	h.clock.Pass(time.Hour)
	h.create(t, alice)
	var rows int
	if err := h.pool.QueryRow(t.Context(), `SELECT count(*) FROM media WHERE user_id = $1`, alice.UserID).Scan(&rows); err != nil || rows != 2 {
		t.Errorf("%d rows are kept, want the uploaded one and the new one: %v", rows, err)
	}
}

func TestAnnouncementsAtTheSameTimeAreLimited(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *Options) { o.MaxAwaited = 2 })
	var creating sync.WaitGroup
	var mu sync.Mutex
	created := 0
	for range 10 {
		creating.Go(func() {
			if _, _, err := h.Create(t.Context(), alice); err == nil {
				mu.Lock()
				defer mu.Unlock()
				created++
			}
		})
	}
	creating.Wait()
	if created != 2 {
		t.Errorf("%d were created, want 2", created)
	}
}

func TestFolderThatCannotBeMade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Dir: path}); err == nil {
		t.Error("a file was taken for a folder")
	}
}
