package media

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/media/picture/picturetest"
)

// stored returns the keys of all objects in the storage, with their sizes.
func (h *env) stored(t *testing.T) []string {
	t.Helper()
	var all []string
	err := h.Stored(t.Context(), func(key string, bytes int64) error {
		all = append(all, fmt.Sprintf("%s:%d", key, bytes))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestBackupAndRestore copies all that the database refers to into an empty storage.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	picture := picturetest.JPEG(t, picturetest.Quarters(300, 300))
	ids := map[string]string{
		h.upload(t, alice, "one"): "one", h.upload(t, bob, "one"): "one", h.upload(t, alice, "two"): "two",
		h.upload(t, alice, ""): "", h.upload(t, bob, picture): picture,
	}
	h.create(t, alice)
	h.thumb(t, picture, ThumbnailQuery{Width: 96, Height: 96})
	if n := len(h.stored(t)); n != 5 {
		t.Errorf("%d objects are stored, want 4 files and a thumbnail: %v", n, h.stored(t))
	}
	empty := newEnv(t, nil)
	var total int64
	var last string
	for file, err := range h.Files(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if file.Key <= last || strings.ReplaceAll(strings.TrimPrefix(file.Key, "content/"), "/", "") != file.SHA256 {
			t.Errorf("%+v comes after %s", file, last)
		}
		last = file.Key
		total += file.Bytes
		content, err := h.OpenStored(t.Context(), file.Key)
		if err != nil {
			t.Fatal(err)
		}
		err = empty.PutStored(t.Context(), file.Key, content)
		if err := errors.Join(err, content.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if want := int64(len("one") + len("two") + len(picture)); total != want {
		t.Errorf("%d bytes in all, want %d", total, want)
	}
	h.Service = h.another(t, func(o *Options) { o.Storage = empty.storage })
	for id, want := range ids {
		if content, _ := h.download(t, id); content != want {
			t.Errorf("got %d bytes, want %d", len(content), len(want))
		}
	}
}

func TestFilesGoOnAfterAKey(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	for i := range 10 {
		h.upload(t, alice, fmt.Sprint(i))
	}
	var all []StoredFile
	for file, err := range h.Files(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, file)
	}
	for i := range all {
		var rest []StoredFile
		for file, err := range h.Files(t.Context(), all[i].Key) {
			if err != nil {
				t.Fatal(err)
			}
			rest = append(rest, file)
		}
		if !slices.Equal(rest, all[i+1:]) {
			t.Errorf("after %d: got %v", i, rest)
		}
	}
	for _, err := range h.Files(t.Context(), "content/zz") {
		if err == nil {
			t.Error("what is no key was taken for one")
		}
	}
}

// TestManyFiles has more than are read at a time.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	const many = 2*filesPage + 5
	_, err := h.pool.Exec(t.Context(), `
		INSERT INTO media (media_id, user_id, created_at, hash, bytes)
		SELECT i::text, $1, 0, sha256(convert_to(i::text, 'UTF8')), i FROM generate_series(1, $2) AS i`, alice.UserID, many)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for file, err := range h.Files(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		seen[file.Key] = true
	}
	if len(seen) != many {
		t.Errorf("%d files, want %d", len(seen), many)
	}
}

func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	name := strings.Repeat("ab", 31)
	for _, key := range []string{
		"", "content", "content/", "content/ab/" + name + "/1x1", "content/ab/../" + name, "content/AB/" + name, "/content/ab/" + name,
		"thumbnails/ab/" + name, "thumbnails/ab/" + name + "/..", "thumbnails/ab/" + name + "/1x1/2x2", "temp/received-1", "content/ab/" + name + "\n",
	} {
		if _, err := h.OpenStored(t.Context(), key); err == nil || !strings.Contains(err.Error(), "not the key") {
			t.Errorf("open %q: got %v", key, err)
		}
		if err := h.PutStored(t.Context(), key, strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "not the key") {
			t.Errorf("put %q: got %v", key, err)
		}
	}
	for _, key := range []string{"content/ab/" + name, "thumbnails/ab/" + name + "/96x96-crop", "thumbnails/ab/" + name + "/1x2-crop-animated"} {
		if _, err := h.OpenStored(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open %q: got %v", key, err)
		}
	}
}

func TestPutOfWhatIsDamaged(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	h.upload(t, alice, "whole")
	key := h.files(t)[0]
	if err := h.PutStored(t.Context(), key, strings.NewReader("hole")); !errors.Is(err, errOtherContent) {
		t.Errorf("got %v", err)
	}
	if err := h.PutStored(t.Context(), key, broken("who")); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
	h.overwrite(t, key, "hole")
	if err := h.PutStored(t.Context(), key, strings.NewReader("whole")); err != nil {
		t.Fatal(err)
	}
	object, err := h.OpenStored(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(object)
	if err := errors.Join(err, object.Close()); err != nil || string(content) != "whole" {
		t.Errorf("got %q, %v", content, err)
	}
	h.wantFiles(t, 1)
}

// TestOnlyUnreferencedFilesAreRemoved has one file that a record refers to, one that is
// being uploaded, and one that is neither.
func TestOnlyUnreferencedFilesAreRemoved(t *testing.T) {
	t.Parallel()
	h := newEnv(t, nil)
	h.upload(t, alice, "referred to")
	h.killed(t, "being uploaded", "")
	h.killed(t, "left over", "")
	if _, err := h.pool.Exec(t.Context(), `DELETE FROM media_storing WHERE hash = sha256('left over')`); err != nil {
		t.Fatal(err)
	}
	removed := 0
	for _, key := range h.files(t) {
		gone, err := h.RemoveUnreferenced(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if gone {
			removed++
		}
	}
	if removed != 1 || len(h.files(t)) != 2 {
		t.Errorf("%d were removed, and %v are left", removed, h.files(t))
	}
	if _, err := h.RemoveUnreferenced(t.Context(), "thumbnails/x"); err == nil {
		t.Error("what is no key was taken for one")
	}
}
