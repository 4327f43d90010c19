package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func TestWriteMakesAndReplaces(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	for _, test := range []struct {
		content string
		mode    fs.FileMode
	}{{"one", 0o600}, {"two, longer", 0o644}, {"", 0o400}, {"again", 0o600}} {
		if err := Write(path, []byte(test.content), test.mode); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil || string(content) != test.content {
			t.Errorf("got %q, %v, want %q", content, err, test.content)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != test.mode {
			t.Errorf("got mode %v, %v, want %v", info.Mode(), err, test.mode)
		}
	}
	onlyFile(t, path)
}

func TestWriteThatFailsLeavesTheOldFileAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := Write(filepath.Join(dir, "missing", "key"), []byte("x"), 0o600); err == nil {
		t.Error("wrote into a folder that does not exist")
	}
	// A folder cannot be replaced by a file, so that the last step fails.
	path := filepath.Join(dir, "key")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("x"), 0o600); err == nil {
		t.Error("replaced a folder")
	}
	onlyFile(t, path)
}

// onlyFile fails the test if anything else, such as a temporary file, lies beside path.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(path) {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

func TestOneOfManyCreates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	var all sync.WaitGroup
	var made atomic.Int64
	for i := range 8 {
		all.Go(func() {
			err := Create(path, []byte{byte(i)}, 0o600)
			switch {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("%d have made it", made.Load())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%d files are left (%v)", len(left), err)
	}
}
