package media

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/media/blob/blobtest"
	"homeserver/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(receiveForEver); dir != "" {
		receiveUntilKilled(dir)
	}
	postgrestest.Main(m)
}

var (
	alice = matrix.Session{UserID: "@alice:localhost", DeviceID: "PHONE"}
	bob   = matrix.Session{UserID: "@bob:localhost", DeviceID: "LAPTOP"}
)

// env is a service on a database and a storage of its own, with a clock that stands
// still.
type env struct {
	*Service
	pool  *pgxpool.Pool
	clock matrixtest.Clock
	dir   string            // of the folder; of what is being received if it is a bucket
	s3    *blobtest.Service // nil: it is a folder
}

// newEnv makes one with a folder, or with a bucket for the tests that are run by
// TestOnABucket.
func newEnv(t testing.TB, change func(*Options)) *env {
	t.Helper()
	h := &env{pool: postgrestest.New(t), dir: filepath.Join(t.TempDir(), "media")}
	if strings.HasPrefix(t.Name(), "TestOnABucket/") {
		h.s3 = blobtest.New(t)
	}
	users := auth.New(h.pool, auth.Options{ServerName: "localhost"})
	for _, name := range []string{"alice", "bob"} {
		if _, err := users.CreateAccount(t.Context(), auth.NewAccount{Username: name}); err != nil {
			t.Fatal(err)
		}
	}
	h.open(t, change)
	return h
}

// open makes the service, anew if there is one.
func (h *env) open(t testing.TB, change func(*Options)) {
	t.Helper()
	h.Service = h.another(t, change)
	if err := h.clean(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// another makes a service on the same database and storage, as another process does.
func (h *env) another(t testing.TB, change func(*Options)) *Service {
	t.Helper()
	o := Options{Pool: h.pool, Dir: h.dir, ServerName: "localhost", Log: slog.New(slog.DiscardHandler), Now: h.clock.Now}
	if h.s3 != nil {
		o.Storage = h.s3.OpenAt(t, h.dir)
	}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// upload uploads content for a user and returns its ID.
func (h *env) upload(t testing.TB, who matrix.Session, content string) string {
	t.Helper()
	uri, err := h.Upload(t.Context(), who, text(content))
	if err != nil {
		t.Fatal(err)
	}
	return idOf(t, uri)
}

func (h *env) create(t testing.TB, who matrix.Session) string {
	t.Helper()
	uri, _, err := h.Create(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	return idOf(t, uri)
}

func idOf(t testing.TB, uri string) string {
	t.Helper()
	id, ok := strings.CutPrefix(uri, "mxc://localhost/")
	if !ok || !isMediaID(id) {
		t.Fatalf("%s is not the URI of a file here", uri)
	}
	return id
}

// text returns an upload of plain text, of announced length.
func text(content string) Upload {
	return Upload{Body: strings.NewReader(content), Bytes: int64(len(content)), ContentType: "text/plain"}
}

// download returns the content of a file, and the file, closed.
func (h *env) download(t testing.TB, id string) (string, *File) {
	t.Helper()
	file, err := h.Open(t.Context(), "localhost", id, 0)
	if err != nil {
		t.Fatal(err)
	}
	return contentOf(t, file), file
}

func contentOf(t testing.TB, file *File) string {
	t.Helper()
	content, err := io.ReadAll(file)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// files returns the keys of all objects in the storage, and the paths of the files that are
// being received.
func (h *env) files(t testing.TB) []string {
	t.Helper()
	var all []string
	err := h.storage.Walk(t.Context(), "", func(key string, _ int64) error {
		all = append(all, key)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(h.dir, "temp"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		all = append(all, "temp/"+entry.Name())
	}
	return all
}

// wantFiles fails the test unless there are so many files, and nothing else is left of
// their uploads.
func (h *env) wantFiles(t testing.TB, contents int) {
	t.Helper()
	n := 0
	for _, path := range h.files(t) {
		switch {
		case strings.HasPrefix(path, "temp/"):
			t.Errorf("%s was left behind", path)
		case strings.HasPrefix(path, contentPrefix):
			n++
		}
	}
	if n != contents {
		t.Errorf("there are %d files, want %d: %v", n, contents, h.files(t))
	}
	var held int
	if err := h.pool.QueryRow(t.Context(), `SELECT count(*) FROM media_storing`).Scan(&held); err != nil || held != 0 {
		t.Errorf("%d files are held still, %v", held, err)
	}
}

// overwrite replaces an object, as nothing in the service does.
func (h *env) overwrite(t testing.TB, key, content string) {
	t.Helper()
	in, err := h.readBody(strings.NewReader(content), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer in.discard()
	if err := h.storage.Put(t.Context(), key, in.file, in.hash); err != nil {
		t.Fatal(err)
	}
}

// within returns a context that ends before the test is given up.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// repeated is a body of any length that takes no memory.
type repeated struct{ left int64 }

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), r.left))
	for i := range n {
		p[i] = 'x'
	}
	r.left -= int64(n)
	return n, nil
}

// broken returns a body that breaks off after its text.
func broken(text string) io.Reader {
	return io.MultiReader(strings.NewReader(text), failing{})
}

var errBroken = errors.New("connection lost")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }
