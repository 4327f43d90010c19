package cluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

// asRoot skips a test of what only a server that is root does.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func TestPostgreSQLNeverRunsAsRoot(t *testing.T) {
	t.Parallel()
	asRoot(t)
	dir := folder(t)
	cluster := start(t, Options{Dir: dir})
	if cluster.place.owner.uid == 0 {
		t.Error("its user is root")
	}
	for name, wantRoot := range map[string]bool{
		".": true, lockFile: true, settingsFile: true, accessFile: true, usersFile: true,
		dataFolder: false, socketFolder: false,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if isRoot := ownerOf(info) == 0; isRoot != wantRoot {
			t.Errorf("%s belongs to root: %v, want %v", name, isRoot, wantRoot)
		}
	}
}

func TestDataStaysWithItsOwner(t *testing.T) {
	t.Parallel()
	asRoot(t)
	data := filepath.Join(folder(t), dataFolder)
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	const daemon = 1
	if err := os.Chown(data, daemon, daemon); err != nil {
		t.Fatal(err)
	}
	found, err := findOwner(data)
	if err != nil || found.uid != daemon {
		t.Errorf("findOwner = %+v, %v", found, err)
	}
}

// A backup that root has copied back belongs to root.
func TestDataOfRootIsGivenToTheOwner(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	asRoot(t)
	opts := Options{Dir: folder(t)}
	cluster := start(t, opts)
	execute(t, cluster.URL("homeserver"), "CREATE TABLE kept AS SELECT 42 AS n")
	stop(t, cluster)
	err := filepath.WalkDir(cluster.place.data(), func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, 0, 0))
	})
	if err != nil {
		t.Fatal(err)
	}
	cluster = start(t, opts)
	if got := query[int](t, cluster.URL("homeserver"), "SELECT n FROM kept"); got != 42 {
		t.Errorf("n = %d", got)
	}
}

// Root's home is closed to others, and so is a temporary folder of a test.
func TestClosedFolderPutsTheClusterElsewhere(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	asRoot(t)
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	var log logBuffer
	opts := Options{Dir: filepath.Join(closed, "postgres"), Log: log.logger()}
	cluster := start(t, opts)
	t.Cleanup(func() {
		_ = os.RemoveAll(cluster.place.base)
		_ = os.Remove(sharedFolder) // if it is empty
	})
	if filepath.Dir(cluster.place.base) != sharedFolder {
		t.Errorf("the cluster stands in %s", cluster.place.base)
	}
	if !strings.Contains(log.String(), cluster.place.base) {
		t.Errorf("the log does not say where:\n%s", log.String())
	}
	execute(t, cluster.URL("homeserver"), "CREATE TABLE kept AS SELECT 42 AS n")
	if url, err := RunningURL(opts.Dir, "homeserver"); err != nil || url != cluster.URL("homeserver") {
		t.Errorf("RunningURL = %q, %v", url, err)
	}
	stop(t, cluster)

	// It is found again even when the folder has moved and is open.
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Chmod(filepath.Dir(filepath.Dir(moved)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(opts.Dir, moved); err != nil {
		t.Fatal(err)
	}
	cluster = start(t, Options{Dir: moved})
	if got := query[int](t, cluster.URL("homeserver"), "SELECT n FROM kept"); got != 42 {
		t.Errorf("n = %d", got)
	}
}

func TestExistingDataIsNeverLeftBehind(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	asRoot(t)
	parent := folder(t)
	opts := Options{Dir: filepath.Join(parent, "postgres")}
	stop(t, start(t, opts))
	if err := os.Chmod(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), opts)
	if err == nil || !strings.Contains(err.Error(), "cannot enter "+opts.Dir) {
		t.Errorf("a cluster that became unreachable gave %v", err)
	}
}

func TestFolderThatOthersCouldHaveMadeIsRefused(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	me, err := findOwner(filepath.Join(dir, dataFolder))
	if err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, trap := range []string{open, link} {
		if err := me.makeFolder(trap); err == nil {
			t.Errorf("%s was accepted", trap)
		}
	}
	if err := me.makeFolder(filepath.Join(dir, "new")); err != nil {
		t.Error(err)
	}
	if err := me.makeFolder(filepath.Join(dir, "new")); err != nil {
		t.Errorf("our own folder was refused: %v", err)
	}
}
