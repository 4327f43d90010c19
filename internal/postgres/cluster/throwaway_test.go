package cluster

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAbandonedThrowawaysAreRemoved(t *testing.T) {
	t.Parallel()
	prefix := "homeserver-abandoned-" + rand.Text() + "-"
	hourAgo := time.Now().Add(-time.Hour)
	made := func(locked bool, age time.Time) string {
		dir, err := MakeThrowawayDir(prefix)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		if !locked {
			return dir
		}
		lock, err := lockDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = lock.Close() })
		if err := os.Chtimes(lock.Name(), age, age); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	unlocked, fresh, running := made(false, hourAgo), made(true, time.Now()), made(true, hourAgo)
	abandoned := made(false, hourAgo)
	name := filepath.Join(abandoned, lockFile)
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, hourAgo, hourAgo); err != nil {
		t.Fatal(err)
	}
	link := unlocked + "-link"
	if err := os.Symlink(abandoned, link); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(link) })

	made(false, hourAgo)
	if _, err := os.Stat(abandoned); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the abandoned folder is still there: %v", err)
	}
	for what, dir := range map[string]string{"unlocked": unlocked, "fresh": fresh, "running": running, "linked": link} {
		if _, err := os.Lstat(dir); err != nil {
			t.Errorf("the %s folder was removed: %v", what, err)
		}
	}
}
