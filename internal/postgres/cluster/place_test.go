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

func TestReadPostmasterPID(t *testing.T) {
	t.Parallel()
	const whole = "1234\n/data\n1700000000\n5432\n/run/sockets\n\n  5432001  7\nready\n"
	for _, test := range []struct {
		name, content string
		want          postmaster
		ok            bool
	}{
		{"running", whole, postmaster{pid: 1234, socketDir: "/run/sockets"}, true},
		{"just begun", "1234\n/data\n1700000000\n", postmaster{}, false},
		{"no number", "x\n/data\n1700000000\n5432\n/run/sockets\n", postmaster{}, false},
		{"empty", "", postmaster{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			if err := os.WriteFile(filepath.Join(data, postmasterFile), []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readPostmasterPID(data)
			if got != test.want || (err == nil) != test.ok {
				t.Errorf("readPostmasterPID = %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
	if _, err := readPostmasterPID(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
}

func TestSocketPathHasALimit(t *testing.T) {
	t.Parallel()
	longest := "/" + strings.Repeat("x", maxSocketPath-len("//.s.PGSQL.5432"))
	if !fitsSocket(longest) {
		t.Errorf("%d characters do not fit", len(longest))
	}
	if fitsSocket(longest + "x") {
		t.Errorf("%d characters fit", len(longest)+1)
	}
}

func TestShortNamesDiffer(t *testing.T) {
	t.Parallel()
	first, second := shortName("/home/a/data/postgres"), shortName("/home/b/data/postgres")
	if first == second {
		t.Errorf("two folders have the name %q", first)
	}
	if !strings.HasPrefix(first, "data-") {
		t.Errorf("the name %q does not say whose it is", first)
	}
	for _, dir := range []string{"/postgres", "/" + strings.Repeat("long", 50) + "/postgres"} {
		if name := shortName(dir); !fitsSocket("/tmp/"+name) || strings.Contains(name, "/") {
			t.Errorf("shortName(%q) = %q", dir, name)
		}
	}
}

func TestFolderThatCannotBe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "postgres")} {
		_, err := Start(t.Context(), Options{Dir: dir})
		if err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("Start in %s: %v", dir, err)
		}
	}
}

// Two names of one folder are one cluster.
func TestLinkedFolderIsTheSameCluster(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir := folder(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	cluster := start(t, Options{Dir: link})
	if _, err := Start(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("the folder under its other name: %v", err)
	}
	if url, err := RunningURL(link, "homeserver"); err != nil || url != cluster.URL("homeserver") {
		t.Errorf("RunningURL = %q, %v", url, err)
	}
}

func TestOthersCannotReachTheSocket(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	asRoot(t)
	cluster := start(t, Options{Dir: folder(t)})
	other := &owner{name: "somebody", uid: 65533, gid: 65533}
	if err := other.command(t.Context(), "/", "/bin/ls", cluster.place.socketDir).Run(); err == nil {
		t.Error("another user can look into the folder of the socket")
	}
	if err := other.command(t.Context(), "/", "/bin/ls", cluster.place.data()).Run(); err == nil {
		t.Error("another user can look into the data")
	}
}

func TestUserMap(t *testing.T) {
	t.Parallel()
	got, err := userMap(&owner{name: `odd name`})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`homeserver "odd name" homeserver`, `homeserver "odd name" postgres`, `homeserver "root" homeserver`,
	} {
		if strings.Count(got, want+"\n") != 1 {
			t.Errorf("%q is not there once:\n%s", want, got)
		}
	}
}
