package media

import (
	"context"
	"errors"
	"fmt"
	"homeserver/internal/matrixtest"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// receiveForEver names the variable of the environment that makes the test program
// a server that receives a file until it is killed.
const receiveForEver = "HOMESERVER_TEST_RECEIVE_MEDIA"

func receiveUntilKilled(dir string) {
	s, err := New(Options{Dir: dir})
	if err == nil {
		_, err = s.readBody(io.MultiReader(strings.NewReader("half of it"), tell{}, os.Stdin), 1<<20)
	}
	fmt.Println(err)
	os.Exit(1)
}

// tell is a body of nothing, that says when it is asked for.
type tell struct{}

func (tell) Read([]byte) (int, error) {
	fmt.Println("receiving")
	return 0, io.EOF
}

// age makes what is being received look as if nobody had touched it for long, and what
// is held as if its time was over.
func (h *env) age(t *testing.T) {
	t.Helper()
	temp := filepath.Join(h.dir, "temp")
	entries, err := os.ReadDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		then := time.Now().Add(-abandonedAfter - time.Minute)
		if err := os.Chtimes(filepath.Join(temp, entry.Name()), then, then); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.pool.Exec(t.Context(), `UPDATE media_storing SET until = now() - interval '1 second'`); err != nil {
		t.Fatal(err)
	}
}

func (h *env) mustClean(t *testing.T) {
	t.Helper()
	if err := h.clean(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestKilledWhileReceiving kills a process in the middle of an upload.
func TestKilledWhileReceiving(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	process := exec.CommandContext(ctx, os.Args[0])
	process.Env = append(os.Environ(), receiveForEver+"="+h.dir)
	if _, err := process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	heard := make([]byte, len("receiving"))
	if _, err := io.ReadFull(output, heard); err != nil || string(heard) != "receiving" {
		t.Fatalf("heard %q, %v", heard, err)
	}
	h.mustClean(t)
	if len(h.files(t)) != 1 {
		t.Errorf("another process cleaned while this one was receiving: the files are %v, want half of one", h.files(t))
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
	h.age(t)
	h.mustClean(t)
	h.wantFiles(t, 0)
}

// killed takes the steps of an upload up to where its file is stored and its record
// isn't committed, or is, and stops there.
func (h *env) killed(t *testing.T, content, id string) {
	t.Helper()
	in, err := h.readBody(strings.NewReader(content), 100)
	if err != nil {
		t.Fatal(err)
	}
	defer in.discard()
	if err := errors.Join(hold(t.Context(), h.pool, in.hash), h.store(t.Context(), in)); err != nil {
		t.Fatal(err)
	}
	if id == "" {
		return
	}
	err = pgx.BeginFunc(t.Context(), h.pool, func(tx pgx.Tx) error {
		return insert(t.Context(), tx, media{ID: id, UserID: &alice.UserID, Hash: in.hash[:], Bytes: &in.bytes})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestKilledBeforeTheRecord(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	known := h.upload(t, bob, "known")
	h.killed(t, "new", "")
	h.killed(t, "recorded", "recorded")
	h.mustClean(t)
	if n := len(h.files(t)); n != 3 {
		t.Fatalf("%d files are there while somebody may be uploading them, want 3: %v", n, h.files(t))
	}
	h.age(t)
	h.mustClean(t)
	h.wantFiles(t, 2)
	for id, want := range map[string]string{known: "known", "recorded": "recorded"} {
		if content, _ := h.download(t, id); content != want {
			t.Errorf("got %q, want %q", content, want)
		}
	}
}

// TestUploadOfWhatIsBeingRemoved has a process remove a file that was left behind while
// another uploads it: the upload waits, and stores the file again.
func TestUploadOfWhatIsBeingRemoved(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	h.killed(t, "left", "")
	h.age(t)
	uploaded := make(chan string, 1)
	slow := h.another(t, func(o *Options) {
		o.Storage = slowRemoval{h.storage, func() {
			go func() {
				uri, err := h.Upload(t.Context(), alice, text("left"))
				if err != nil {
					t.Error(err)
				}
				uploaded <- uri
			}()
			h.waitForLock(t)
		}}
	})
	if err := slow.clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if content, _ := h.download(t, idOf(t, <-uploaded)); content != "left" {
		t.Errorf("got %q", content)
	}
	h.wantFiles(t, 1)
}

// slowRemoval is a storage where something happens before anything is removed.
type slowRemoval struct {
	Storage
	before func()
}

func (s slowRemoval) Remove(ctx context.Context, key string) error {
	s.before()
	return s.Storage.Remove(ctx, key)
}

// waitForLock waits until somebody waits for a lock in the database.
func (h *env) waitForLock(t *testing.T) {
	t.Helper()
	for ctx := within(t); ; {
		var waiting bool
		err := h.pool.QueryRow(ctx, `
			SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		if waiting {
			return
		}
	}
}

// TestCleaningLeavesUploadsAlone cleans in another process at each step of an upload
// that takes its time.
func TestCleaningLeavesUploadsAlone(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	other := h.another(t, nil)
	clean := func() {
		if err := other.clean(t.Context()); err != nil {
			t.Error(err)
		}
	}
	body := readerFunc(func([]byte) (int, error) {
		clean()
		return 0, io.EOF
	})
	h.Service = h.another(t, func(o *Options) { o.Storage = cleaningStorage{h.storage, clean} })
	id := h.create(t, alice)
	err := h.UploadTo(t.Context(), alice, "localhost", id, Upload{Body: io.MultiReader(strings.NewReader("whole"), body), Bytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	if content, _ := h.download(t, id); content != "whole" {
		t.Errorf("got %q", content)
	}
	h.wantFiles(t, 1)
}

// cleaningStorage is a storage that somebody else cleans all the time.
type cleaningStorage struct {
	Storage
	clean func()
}

func (s cleaningStorage) Put(ctx context.Context, key string, content *os.File, hash [32]byte) error {
	s.clean()
	err := s.Storage.Put(ctx, key, content, hash)
	s.clean()
	return err
}

// In TestFailedUploadLeavesTheSameOfOthers two users upload the same file, and one of them
// is refused in the end.
func TestFailedUploadLeavesTheSameOfOthers(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	in, err := h.readBody(strings.NewReader("same"), 100)
	if err != nil {
		t.Fatal(err)
	}
	defer in.discard()
	err = h.storeFile(t.Context(), in, func(tx pgx.Tx) error {
		refused, err := h.readBody(strings.NewReader("same"), 100)
		if err != nil {
			return err
		}
		defer refused.discard()
		if err := h.storeFile(t.Context(), refused, func(pgx.Tx) error { return errQuota }); !errors.Is(err, errQuota) {
			t.Errorf("got %v", err)
		}
		return insert(t.Context(), tx, media{ID: "kept", UserID: &alice.UserID, Hash: in.hash[:], Bytes: &in.bytes})
	})
	if err != nil {
		t.Fatal(err)
	}
	if content, _ := h.download(t, "kept"); content != "same" {
		t.Errorf("got %q", content)
	}
	h.wantFiles(t, 1)
}

func TestCleaningRemovesWhateverIsOldInTemp(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	id := h.upload(t, alice, "content")
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(h.dir, "temp", name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"received-1", "placed-zz-1", "other"} {
		write(name)
	}
	h.age(t)
	write("received-2")
	h.mustClean(t)
	if files := h.files(t); len(files) != 2 || files[1] != "temp/received-2" {
		t.Errorf("the files are %v", files)
	}
	h.age(t)
	h.mustClean(t)
	h.wantFiles(t, 1)
	if content, _ := h.download(t, id); content != "content" {
		t.Errorf("got %q", content)
	}
}

// TestStartCleans waits for the first time.
func TestStartCleans(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	h.killed(t, "left", "")
	h.age(t)
	h.Start(t.Context())
	matrixtest.Until(t, "no file is left", func() bool { return len(h.files(t)) == 0 })
	h.Stop()
}

// TestKeysAreMadeOfHashes makes sure that nothing of what clients say is in any key.
func TestKeysAreMadeOfHashes(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	u := text("hello")
	u.Filename, u.ContentType = "../../evil.sh", "text/x-evil"
	if _, err := h.Upload(t.Context(), alice, u); err != nil {
		t.Fatal(err)
	}
	want := []string{"content/2c/f24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}
	if got := h.files(t); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestReceivingTakesConstantMemory is not parallel, since it counts what the whole
// process allocates.
func TestReceivingTakesConstantMemory(t *testing.T) {
	s, err := New(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	in, err := s.readBody(&repeated{64 << 20}, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer in.discard()
	runtime.ReadMemStats(&after)
	if in.bytes != 64<<20 {
		t.Errorf("received %d bytes", in.bytes)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20 {
		t.Errorf("%d bytes were allocated", allocated)
	}
}
