package cluster

import (
	"archive/tar"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrixtest"
)

// prepared returns a template in a folder whose clusters have a table, and counts how often one is made.
func prepared(dir string) (t *Template, made *atomic.Int64) {
	made = new(atomic.Int64)
	return &Template{Dir: dir, Version: "1", Prepare: func(ctx context.Context, url string) error {
		made.Add(1)
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "CREATE TABLE prepared AS SELECT 7 AS n")
		return errors.Join(err, conn.Close(ctx))
	}}, made
}

// isCopy reports whether a cluster has the table of the template.
func isCopy(t *testing.T, c *Cluster) bool {
	t.Helper()
	return query[bool](t, c.URL("homeserver"), "SELECT to_regclass('prepared') IS NOT NULL")
}

// templateIn returns the only template in a folder.
func templateIn(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "cluster-*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("there are %q (%v), want one template", files, err)
	}
	return files[0]
}

func TestClustersAreCopiedFromOneTemplate(t *testing.T) {
	t.Parallel()
	template, made := prepared(filepath.Join(t.TempDir(), "made", "here"))
	var all sync.WaitGroup
	for range 3 {
		dir := folder(t)
		all.Go(func() {
			c, err := Start(t.Context(), Options{Dir: dir, Template: template})
			if err != nil {
				t.Error(err)
				return
			}
			defer stop(t, c)
			if !isCopy(t, c) {
				t.Error("a cluster is no copy")
			}
		})
	}
	all.Wait()
	if n := made.Load(); n != 1 {
		t.Errorf("%d templates were made", n)
	}
	// A copy is a cluster like any other: it goes on after a stop, and is nobody else's.
	opts := Options{Dir: folder(t), Template: template}
	c := start(t, opts)
	execute(t, c.URL("homeserver"), "UPDATE prepared SET n = 8")
	stop(t, c)
	if n := query[int32](t, start(t, opts).URL("homeserver"), "SELECT n FROM prepared"); n != 8 {
		t.Errorf("the copy has %d", n)
	}
	if n := query[int32](t, start(t, Options{Dir: folder(t), Template: template}).URL("homeserver"), "SELECT n FROM prepared"); n != 7 {
		t.Errorf("the next copy has %d", n)
	}
	other, made := prepared(template.Dir)
	other.Version = "2"
	start(t, Options{Dir: folder(t), Template: other})
	if made.Load() != 1 {
		t.Error("another version is no other template")
	}
}

func TestTemplateThatIsBrokenIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(file string) error{
		"empty":   func(file string) error { return os.Truncate(file, 0) },
		"cut off": func(file string) error { return os.Truncate(file, 1<<20) },
		"changed": func(file string) error {
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte("changed"), 4<<20)
				err = errors.Join(err, f.Close())
			}
			return err
		},
		"writable by others": func(file string) error { return os.Chmod(file, 0o666) },
		"a folder": func(file string) error {
			return errors.Join(os.Rename(file, file+".away"), os.Symlink(t.TempDir(), file))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template, made := prepared(t.TempDir())
			stop(t, start(t, Options{Dir: folder(t), Template: template}))
			if err := spoil(templateIn(t, template.Dir)); err != nil {
				t.Fatal(err)
			}
			log := matrixtest.NewLog()
			c := start(t, Options{Dir: folder(t), Template: template, Log: slog.New(slog.NewTextHandler(log, nil))})
			if !isCopy(t, c) || made.Load() != 2 {
				t.Errorf("made %d times", made.Load())
			}
			log.Wait(t, "making it again")
			templateIn(t, template.Dir) // and nothing else is left
		})
	}
}

func TestCopyThatDoesNotStartIsReplaced(t *testing.T) {
	t.Parallel()
	template, made := prepared(t.TempDir())
	stop(t, start(t, Options{Dir: folder(t), Template: template}))
	file := templateIn(t, template.Dir)
	spoiled := t.TempDir()
	if err := os.WriteFile(filepath.Join(spoiled, versionFile), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := packArchive(spoiled, file); err != nil {
		t.Fatal(err)
	}
	c := start(t, Options{Dir: folder(t), Template: template})
	if isCopy(t, c) || made.Load() != 1 {
		t.Error("it was started from the template after all")
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the template is still there: %v", err)
	}
}

func TestWithoutAFolderForTemplatesThereIsAClusterNevertheless(t *testing.T) {
	t.Parallel()
	inTheWay := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	unusable, _ := prepared(inTheWay)
	failing, _ := prepared(t.TempDir())
	failing.Prepare = func(context.Context, string) error { return errors.New("no") }
	for _, template := range []*Template{unusable, failing} {
		log := matrixtest.NewLog()
		c := start(t, Options{Dir: folder(t), Template: template, Log: slog.New(slog.NewTextHandler(log, nil))})
		if isCopy(t, c) {
			t.Error("it is a copy")
		}
		log.Wait(t, "making a cluster without")
	}
	if left, err := filepath.Glob(filepath.Join(failing.Dir, "cluster-*")); err != nil || len(left) != 0 {
		t.Errorf("%q is left (%v)", left, err)
	}
}

func TestTemplatesThatNobodyUsesAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 6 {
		file := filepath.Join(dir, fmt.Sprintf("cluster-%d.tar", i))
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		used := time.Now().Add(-time.Duration(i) * time.Hour)
		if err := os.Chtimes(file, used, used); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"cluster-123.new", "other.tar"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	removeOldTemplates(dir, filepath.Join(dir, "cluster-5.tar"))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	matrixtest.Equal(t, "templates", left, []string{"cluster-0.tar", "cluster-1.tar", "cluster-2.tar", "cluster-5.tar", "other.tar"})
}

func TestArchiveStaysInItsFolder(t *testing.T) {
	t.Parallel()
	for want, header := range map[string]*tar.Header{
		"outside of the folder":         {Typeflag: tar.TypeReg, Name: "../escaped"},
		"neither a file nor a folder":   {Typeflag: tar.TypeSymlink, Name: "link", Linkname: "/etc/passwd"},
		"\"/etc/x\" is outside of the ": {Typeflag: tar.TypeDir, Name: "/etc/x"},
	} {
		var content strings.Builder
		archive := tar.NewWriter(&content)
		if err := errors.Join(archive.WriteHeader(header), archive.Close()); err != nil {
			t.Fatal(err)
		}
		whole := binary.BigEndian.AppendUint32([]byte(content.String()), crc32.Checksum([]byte(content.String()), castagnoli))
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		err := unpackArchive(file, filepath.Join(t.TempDir(), "data"), &owner{uid: os.Geteuid()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestWaitForTheFolderOfTemplatesEndsWithTheContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), lockFile)
	held, err := awaitLock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*lookForLock)
	defer cancel()
	if _, err := awaitLock(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := unlock(held); err != nil {
		t.Fatal(err)
	}
	again, err := awaitLock(t.Context(), path)
	if err != nil || unlock(again) != nil {
		t.Errorf("after it was unlocked: %v", err)
	}
}
