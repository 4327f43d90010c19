package cluster

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]int{
		"postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)\n": 15,
		"postgres (PostgreSQL) 18beta1\n":                      18,
		"postgres (PostgreSQL) 9.6.24\n":                       9,
		"mysqld 8.0":                                           0,
		"":                                                     0,
	} {
		if got, ok := parseVersion(output); got != want || ok != (want != 0) {
			t.Errorf("parseVersion(%q) = %d, %v; want %d", output, got, ok, want)
		}
	}
}

func TestChooseBinaries(t *testing.T) {
	t.Parallel()
	old, v14, v15, v17 := binaries{"/13", 13, ""}, binaries{"/14", 14, ""}, binaries{"/15", 15, ""}, binaries{"/17", 17, ""}
	for _, test := range []struct {
		name      string
		installed []binaries
		cluster   string // its version, "" for a new one
		want      binaries
		err       string
	}{
		{"the first for a new cluster", []binaries{v15, v17, v14}, "", v15, ""},
		{"not too old", []binaries{old, v14}, "", v14, ""},
		{"the cluster's version", []binaries{v17, v15, v14}, "14", v14, ""},
		{"nothing installed", nil, "", binaries{}, "no PostgreSQL 14 or newer is installed"},
		{"only too old", []binaries{old}, "", binaries{}, "no PostgreSQL 14 or newer is installed"},
		{"cluster of another version", []binaries{v17, v15}, "14", binaries{}, "made by PostgreSQL 14"},
		{"cluster of a version that is too old", []binaries{old, v15}, "13", binaries{}, "made by PostgreSQL 13"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			if test.cluster != "" {
				if err := os.WriteFile(filepath.Join(data, versionFile), []byte(test.cluster+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := chooseBinaries(test.installed, data)
			if test.err == "" && err != nil || got != test.want {
				t.Errorf("chooseBinaries = %v, %v; want %v", got, err, test.want)
			}
			if test.err == "" {
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is %v; want one line with %q", err, test.err)
			}
			if test.cluster == "" && !strings.Contains(err.Error(), "database.url") {
				t.Errorf("the error does not say what can be done: %v", err)
			}
		})
	}
}

func TestBinaryFolders(t *testing.T) {
	t.Parallel()
	root, err := realPath(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"pg/bin/postgres", "pg/bin/initdb", "client/psql", "half/postgres"} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	links := filepath.Join(root, "links")
	if err := os.Mkdir(links, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "pg/bin/postgres"), filepath.Join(links, "postgres")); err != nil {
		t.Fatal(err)
	}
	var candidates []string
	for _, name := range []string{"missing", "client", "half", "links", "pg/bin"} {
		candidates = append(candidates, filepath.Join(root, name))
	}
	want := []string{filepath.Join(root, "pg/bin")}
	if got := binaryFolders(candidates); !slices.Equal(got, want) {
		t.Errorf("binaryFolders = %q, want %q", got, want)
	}
}

func TestInstalledBinariesAreFound(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	me, err := findOwner(filepath.Join(dir, dataFolder))
	if err != nil {
		t.Fatal(err)
	}
	found, err := findBinaries(t.Context(), place{base: dir, owner: me})
	if err != nil {
		t.Fatal(err)
	}
	if found.major < 14 {
		t.Errorf("found version %d", found.major)
	}
	if installed := installedBinaries(t.Context(), []string{"/nonexistent"}, me); len(installed) != 0 {
		t.Errorf("found %v where nothing is", installed)
	}
}
