package disk

import (
	"errors"
	"testing"
)

func TestFileSystemWithoutASizeIsNotFull(t *testing.T) {
	t.Parallel()
	if _, err := Free("/proc"); !errors.Is(err, errUnmeasured) {
		t.Errorf("got %v, want that it can't be measured", err)
	}
	w := NewWatch(Options{})
	if w.Add(t.TempDir()) == w.Add("/proc") {
		t.Error("two disks are taken for one")
	}
}
