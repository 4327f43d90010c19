package media

import (
	"context"
	"fmt"
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
	f, err := openFolder(dir)
	if err == nil {
		_, err = f.receive(io.MultiReader(strings.NewReader("half of it"), tell{}, os.Stdin), 1<<20)
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

// TestKilledWhileReceiving kills a process in the middle of an upload.
func TestKilledWhileReceiving(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
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
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
	if len(h.files(t)) != 1 {
		t.Errorf("the files are %v, want half of one", h.files(t))
	}
	h.open(t, nil)
	h.wantFiles(t, 0)
}

// TestKilledBeforeTheCommit takes the steps of an upload up to where its file is in
// place and its record isn't committed.
func TestKilledBeforeTheCommit(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	known := h.upload(t, bob, "known")
	for _, content := range []string{"new", "recorded"} {
		in, err := h.folder.receive(strings.NewReader(content), 100)
		if err != nil {
			t.Fatal(err)
		}
		mark, err := h.folder.place(in)
		if err != nil || mark == "" {
			t.Fatalf("place: %q, %v", mark, err)
		}
		if content == "recorded" {
			record(t, h, in)
		}
	}
	if n := len(h.files(t)); n != 5 {
		t.Fatalf("%d files, want three and two marks: %v", n, h.files(t))
	}
	h.open(t, nil)
	h.wantFiles(t, 2)
	for id, want := range map[string]string{known: "known", "recorded": "recorded"} {
		if content, _ := h.download(t, id); content != want {
			t.Errorf("got %q, want %q", content, want)
		}
	}
}

// record commits the record of a file, and dies before it removes the mark.
func record(t *testing.T, h *house, in *incoming) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), h.pool, func(tx pgx.Tx) error {
		return insert(t.Context(), tx, media{ID: "recorded", UserID: &alice.UserID, Hash: in.hash[:], Bytes: &in.bytes})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStartRemovesWhateverIsInTemp(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	id := h.upload(t, alice, "content")
	for _, name := range []string{"received-1", "placed-", "placed-zz-1", "placed-" + strings.Repeat("ab", 31) + "-1", "other"} {
		if err := os.WriteFile(filepath.Join(h.dir, "temp", name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.open(t, nil)
	h.wantFiles(t, 1)
	if content, _ := h.download(t, id); content != "content" {
		t.Errorf("got %q", content)
	}
}

func TestMarksAreRemovedAfterTheCommit(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.upload(t, alice, "one")
	h.upload(t, alice, "two")
	h.wantFiles(t, 2)
}

// TestPathsAreMadeOfHashes makes sure that nothing of what clients say is in any
// path.
func TestPathsAreMadeOfHashes(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	u := text("hello")
	u.Filename, u.ContentType = "../../evil.sh", "text/x-evil"
	if _, err := h.Upload(t.Context(), alice, u); err != nil {
		t.Fatal(err)
	}
	want := []string{"content/2c/f24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}
	if got := h.files(t); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	info, err := os.Stat(filepath.Join(h.dir, want[0]))
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
}

// TestReceivingTakesConstantMemory is not parallel, since it counts what the whole
// process allocates.
func TestReceivingTakesConstantMemory(t *testing.T) {
	f, err := openFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	in, err := f.receive(&repeated{64 << 20}, 64<<20)
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
