package auth

import "testing"

func TestLRUForgetsWhatWasUsedLeastRecently(t *testing.T) {
	t.Parallel()
	l := newLRU[string, int](2)
	l.put("a", 1)
	l.put("b", 2)
	if v, ok := l.get("a"); !ok || v != 1 {
		t.Fatalf("got %d, %v", v, ok)
	}
	l.put("c", 3)

	if _, ok := l.get("b"); ok {
		t.Error("b is still there, which was used least recently")
	}
	l.put("a", 10)
	l.put("d", 4)
	if v, ok := l.get("a"); !ok || v != 10 {
		t.Errorf("got %d, %v, want the new value", v, ok)
	}
	if _, ok := l.get("c"); ok {
		t.Error("c is still there: putting a did not make it the newest")
	}
	if l.len() != 2 {
		t.Errorf("got %d entries, want 2", l.len())
	}
}

func TestLRURemoves(t *testing.T) {
	t.Parallel()
	l := newLRU[int, int](3)
	l.put(1, 1)
	l.remove(1)
	l.remove(2)
	if _, ok := l.get(1); ok || l.len() != 0 || l.order.Len() != 0 {
		t.Error("the entry is still there")
	}
}
