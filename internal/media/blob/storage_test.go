package blob_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"homeserver/internal/media/blob"
	"homeserver/internal/media/blob/blobtest"
)

// store is what folders and buckets have in common.
type store interface {
	Scratch() (*os.File, error)
	Put(ctx context.Context, key string, content *os.File, hash [32]byte) error
	Open(ctx context.Context, key string) (blob.Object, error)
	Remove(ctx context.Context, key string) error
	Walk(ctx context.Context, prefix string, visit func(key string, bytes int64) error) error
	Clean(ctx context.Context, age time.Duration) (removed int, err error)
}

func newFolder(t testing.TB) *blob.Folder {
	t.Helper()
	f, err := blob.OpenFolder(filepath.Join(t.TempDir(), "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// onEach runs a test on a folder and on a bucket.
func onEach(t *testing.T, test func(*testing.T, store)) {
	t.Run("folder", func(t *testing.T) {
		t.Parallel()
		test(t, newFolder(t))
	})
	t.Run("bucket", func(t *testing.T) {
		t.Parallel()
		test(t, blobtest.New(t).Open(t))
	})
}

// try puts content under a key.
func try(s store, key, content string) error {
	file, err := s.Scratch()
	if err != nil {
		return err
	}
	defer func() { _, _ = file.Close(), os.Remove(file.Name()) }()
	if _, err := io.WriteString(file, content); err != nil {
		return err
	}
	return s.Put(context.Background(), key, file, sha256.Sum256([]byte(content)))
}

func put(t testing.TB, s store, key, content string) {
	t.Helper()
	if err := try(s, key, content); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s store, key string) string {
	t.Helper()
	object, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(object)
	if err := errors.Join(err, object.Close()); err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// keys returns those of all objects that begin with a prefix, with their sizes.
func keys(t testing.TB, s store, prefix string) []string {
	t.Helper()
	var all []string
	err := s.Walk(t.Context(), prefix, func(key string, bytes int64) error {
		all = append(all, fmt.Sprintf("%s:%d", key, bytes))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPutAndOpen(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s store) {
		for key, content := range map[string]string{"content/ab/cd": "War and Peace", "content/ab/ce": "", "thumbnails/ab/cd/1x1": "x"} {
			put(t, s, key, content)
			if got := get(t, s, key); got != content {
				t.Errorf("%s: got %q, want %q", key, got, content)
			}
		}
		put(t, s, "content/ab/cd", "another")
		if got := get(t, s, "content/ab/cd"); got != "another" {
			t.Errorf("in its place: got %q", got)
		}
	})
}

func TestOpenOfWhatThereIsNot(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s store) {
		put(t, s, "content/ab/cd", "x")
		for _, key := range []string{"content/ab/ce", "content/ac/cd", "thumbnails/ab/cd/1x1"} {
			if _, err := s.Open(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: got %v", key, err)
			}
		}
	})
}

func TestRemove(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s store) {
		put(t, s, "content/ab/cd", "x")
		put(t, s, "content/ab/ce", "y")
		for range 2 { // the second time there is nothing to remove
			if err := s.Remove(t.Context(), "content/ab/cd"); err != nil {
				t.Error(err)
			}
		}
		if got := keys(t, s, ""); !slices.Equal(got, []string{"content/ab/ce:1"}) {
			t.Errorf("left are %v", got)
		}
	})
}

func TestWalk(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s store) {
		if got := keys(t, s, ""); got != nil {
			t.Errorf("of nothing: got %v", got)
		}
		var want []string
		for i := range 30 {
			key := fmt.Sprintf("content/%02x/%02x", i/7, i)
			put(t, s, key, strings.Repeat("x", i))
			want = append(want, fmt.Sprintf("%s:%d", key, i))
		}
		put(t, s, "thumbnails/01/02/9x9", "")
		if _, err := s.Scratch(); err != nil {
			t.Fatal(err)
		}
		if got := keys(t, s, "content/"); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := keys(t, s, "content/01/"); !slices.Equal(got, want[7:14]) {
			t.Errorf("got %v, want %v", got, want[7:14])
		}
		if got := keys(t, s, ""); len(got) != 31 || got[30] != "thumbnails/01/02/9x9:0" {
			t.Errorf("all: got %v", got)
		}
		enough := errors.New("enough")
		if err := s.Walk(t.Context(), "", func(string, int64) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("got %v, want the error of the visit", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Walk(ctx, "", func(string, int64) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the end of the context", err)
		}
	})
}

// TestObjectsAreReadLikeFiles reads an object in every way that a file can be read.
func TestObjectsAreReadLikeFiles(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s store) {
		content := []byte(strings.Repeat("0123456789abcdef", 4096))
		put(t, s, "content/ab/cd", string(content))
		object, err := s.Open(t.Context(), "content/ab/cd")
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(object, content); err != nil {
			t.Error(err)
		}
		if err := object.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestReadAtLeavesTheOffsetAlone reads pieces from many goroutines while the object is
// read from beginning to end.
func TestReadAtLeavesTheOffsetAlone(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s store) {
		content := strings.Repeat("0123456789abcdef", 4096)
		put(t, s, "content/ab/cd", content)
		object, err := s.Open(t.Context(), "content/ab/cd")
		if err != nil {
			t.Fatal(err)
		}
		var reading sync.WaitGroup
		for i := range 8 {
			reading.Go(func() {
				piece := make([]byte, 1000)
				at := 5000*i + 3
				if _, err := object.ReadAt(piece, int64(at)); err != nil || string(piece) != content[at:at+1000] {
					t.Errorf("at %d: %v", at, err)
				}
			})
		}
		if got, err := io.ReadAll(iotest.OneByteReader(object)); err != nil || string(got) != content {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		reading.Wait()
		if n, err := object.ReadAt(make([]byte, 10), int64(len(content)-4)); n != 4 || !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %d, %v", n, err)
		}
		if err := object.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestPutAtTheSameTime puts an object many times while it is read: every reader sees
// one of them, whole.
func TestPutAtTheSameTime(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s store) {
		put(t, s, "content/ab/cd", strings.Repeat("-", 100_000))
		var putting, reading sync.WaitGroup
		done := make(chan struct{})
		for i := range 4 {
			putting.Go(func() {
				for range 5 {
					if err := try(s, "content/ab/cd", strings.Repeat(fmt.Sprint(i), 100_000)); err != nil {
						t.Error(err)
					}
				}
			})
			reading.Go(func() {
				for {
					got := get(t, s, "content/ab/cd")
					if len(got) != 100_000 || strings.Trim(got, got[:1]) != "" {
						t.Errorf("read %d bytes of more than one", len(got))
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		putting.Wait()
		close(done)
		reading.Wait()
	})
}

func TestScratchOfOthersStays(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	old, err := f.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	young, err := f.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(old.Name(), then, then); err != nil {
		t.Fatal(err)
	}
	if removed, err := f.Clean(t.Context(), 2*time.Hour); removed != 0 || err != nil {
		t.Errorf("removed %d, %v", removed, err)
	}
	if removed, err := f.Clean(t.Context(), 30*time.Minute); removed != 1 || err != nil {
		t.Errorf("removed %d, %v", removed, err)
	}
	if _, err := os.Stat(young.Name()); err != nil {
		t.Errorf("what is being received was removed: %v", err)
	}
	if err := errors.Join(old.Close(), young.Close()); err != nil {
		t.Error(err)
	}
}

// TestFolderThatIsAway takes the whole folder away, as a network does: nothing looks as
// if it had never been there.
func TestFolderThatIsAway(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "media")
	f, err := blob.OpenFolder(root)
	if err != nil {
		t.Fatal(err)
	}
	put(t, f, "content/ab/cd", "x")
	if err := os.Rename(root, root+"-away"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open(t.Context(), "content/ab/cd"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: got %v", err)
	}
	if err := try(f, "content/ab/cd", "y"); err == nil {
		t.Error("something was put")
	}
	if _, err := f.Clean(t.Context(), 0); err == nil {
		t.Error("cleaning doesn't tell")
	}
	if err := os.Rename(root+"-away", root); err != nil {
		t.Fatal(err)
	}
	if got := get(t, f, "content/ab/cd"); got != "x" {
		t.Errorf("when it is back: got %q", got)
	}
}

func TestFilesAreForTheServerAlone(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "media")
	f, err := blob.OpenFolder(root)
	if err != nil {
		t.Fatal(err)
	}
	put(t, f, "content/ab/cd", "x")
	for _, path := range []string{"", "temp", "content", "content/ab/cd"} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: others may enter: %v, %v", path, info.Mode(), err)
		}
	}
}

func TestFolderThatCannotBeMade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := blob.OpenFolder(path); err == nil {
		t.Error("a file was taken for a folder")
	}
	for _, o := range []blob.BucketOptions{
		{Endpoint: "http://localhost:9", LocalDir: path}, {Endpoint: "::", LocalDir: t.TempDir()}, {Endpoint: "nothing", LocalDir: t.TempDir()},
	} {
		if _, err := blob.NewBucket(o); err == nil {
			t.Errorf("%+v was taken for a bucket", o)
		}
	}
}

func TestEmptyObjectIsEmpty(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s store) {
		put(t, s, "content/ab/cd", "")
		object, err := s.Open(t.Context(), "content/ab/cd")
		if err != nil {
			t.Fatal(err)
		}
		if size, err := object.Seek(0, io.SeekEnd); size != 0 || err != nil {
			t.Errorf("%d bytes, %v", size, err)
		}
		var b bytes.Buffer
		if n, err := b.ReadFrom(object); n != 0 || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		if err := object.Close(); err != nil {
			t.Error(err)
		}
	})
}
