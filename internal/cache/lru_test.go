package cache

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// lengths returns a cache of texts that has room for so many bytes beside its entries.
func lengths(entries, bytes int, o Options[string, string]) *LRU[string, string] {
	o.Weigh = func(_, value string) int { return len(value) }
	o.Share = entries*NewLRU(o).fixed + bytes
	return NewLRU(o)
}

func (c *LRU[K, V]) keys() []K { return slices.Collect(maps.Keys(c.entries)) }

func TestLRUKeepsWhatWasUsedLast(t *testing.T) {
	t.Parallel()
	var gone []string
	c := lengths(3, 30, Options[string, string]{Gone: func(key, _ string) { gone = append(gone, key) }})
	for _, key := range []string{"a", "b", "c"} {
		c.Put(key, strings.Repeat(key, 10))
	}
	c.Get("a")
	c.Peek("b") // which does not count
	c.Put("d", "0123456789")
	if want := []string{"b"}; !slices.Equal(gone, want) {
		t.Errorf("gone is %v, want %v", gone, want)
	}
	if now, isNew := c.PutNew("d", "other"); isNew || now != "0123456789" {
		t.Errorf("%q is new: %v", now, isNew)
	}
	c.Put("d", "01234567890123456789") // as large as two others
	if want := []string{"b", "c"}; !slices.Equal(gone, want) {
		t.Errorf("gone is %v, want %v", gone, want)
	}
	if !c.Remove("d") || c.Remove("d") {
		t.Error("what was removed was there twice, or never")
	}
	c.RemoveAll(func(key, _ string) bool { return key == "a" })
	if got := c.Stats(); got.Entries != 0 || got.Bytes != 0 || len(gone) != 2 {
		t.Errorf("left %+v; gone is %v", got, gone)
	}
}

func TestLRUDoesNotKeepWhatIsLargerThanItsShare(t *testing.T) {
	t.Parallel()
	c := lengths(3, 30, Options[string, string]{})
	c.Put("a", "x")
	c.Put("large", strings.Repeat("x", 3000))
	c.Put("b", "x")
	c.Put("b", strings.Repeat("x", 3000)) // has grown
	if got := c.keys(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("kept are %v", got)
	}
}

func TestLRUSparesWhatIsNeeded(t *testing.T) {
	t.Parallel()
	needed := map[string]bool{"a": true}
	c := lengths(2, 0, Options[string, string]{Spare: func(key, _ string) bool { return needed[key] }})
	for _, key := range []string{"a", "b", "c"} {
		c.Put(key, "")
	}
	if _, ok := c.Peek("a"); !ok || len(c.keys()) != 2 {
		t.Errorf("kept are %v", c.keys())
	}
	delete(needed, "a")
	c.Put("d", "")
	if _, ok := c.Peek("a"); ok || len(c.keys()) != 2 {
		t.Errorf("kept are %v", c.keys())
	}
}
