package journal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"homeserver/internal/matrixtest"
)

// model is the window as one would first think of it: all entries ever, and a
// walk over them for each question.
type model struct {
	all   []*Entry
	limit int
}

// floor finds the first position that is let go of, from the newest backwards.
func (m *model) floor() Position {
	bytes := 0
	for i, e := range slices.Backward(m.all) {
		if bytes += e.cost(); bytes > m.limit {
			return Position(i + 1)
		}
	}
	return 0
}

func (m *model) about(t Topic, after Position) []*Entry {
	var list []*Entry
	for _, e := range m.all {
		if e.Position > after && slices.Contains(e.Topics, t) {
			list = append(list, e)
		}
	}
	return list
}

// handedOut is a slice that a reader keeps.
type handedOut struct{ got, want []*Entry }

// FuzzWindow compares the window with the model. The first byte is the limit; each further
// byte describes an entry: what it is about, how large it is, and whether the group ends
// with it.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	f.Add(slices.Repeat([]byte{200, 1, 130, 3, 64, 255, 0}, 40))
	source := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		ops := make([]byte, 200)
		for i := range ops {
			ops[i] = byte(source.Uint32())
		}
		f.Add(ops)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) == 0 || len(ops) > 500 {
			return
		}
		m := &model{limit: int(ops[0]) * 40}
		w := newWindow(0, m.limit)
		var group []*Entry
		var kept []handedOut
		for _, op := range ops[1:] {
			e := &Entry{Position: Position(len(m.all) + 1), Size: int(op >> 4)}
			if op&1 == 0 || op&16 == 0 {
				e.Topics = append(e.Topics, Topic{Room: RoomNID(op >> 1 & 3)})
			}
			if op&1 == 1 && op&32 == 0 {
				e.Topics = append(e.Topics, Topic{User: fmt.Sprint("user", op>>1&1)})
			}
			m.all, group = append(m.all, e), append(group, e)
			if op&8 == 0 {
				w.add(group)
				group = nil
				kept = append(kept, compareWindow(t, w, m)...)
			}
		}
		for _, k := range kept {
			if !slices.Equal(k.got, k.want) {
				t.Fatal("a slice that was handed out has changed")
			}
		}
	})
}

// compareWindow asks the window and the model everything, and returns some of
// the slices that were handed out.
func compareWindow(t *testing.T, w *window, m *model) []handedOut {
	t.Helper()
	v := View{Position: Position(len(m.all)), w: w}
	floor := m.floor()
	if w.bytes > m.limit {
		t.Fatalf("%d bytes of %d", w.bytes, m.limit)
	}
	var kept []handedOut
	compare := func(what string, got, want []*Entry) {
		if !slices.Equal(got, want) {
			t.Fatalf("%s of %d: %d entries, want %d", what, v.Position, len(got), len(want))
		}
		kept = append(kept, handedOut{got, slices.Clone(want)})
	}
	for p := range v.Position + 2 {
		if v.Covers(p) != (p >= floor) {
			t.Fatalf("Covers(%d) is %t at %d, the floor is %d", p, v.Covers(p), v.Position, floor)
		}
		var want *Entry
		if p > floor && p <= v.Position {
			want = m.all[p-1]
		}
		if v.At(p) != want {
			t.Fatalf("At(%d) is %v", p, v.At(p))
		}
	}
	for _, after := range []Position{floor, (floor + v.Position) / 2, v.Position - 1, v.Position} {
		if !v.Covers(after) {
			continue
		}
		topics := []Topic{{User: "user0"}, {User: "user1"}, {User: "nobody"}}
		for room := range RoomNID(5) {
			topics = append(topics, Topic{Room: room})
		}
		for _, topic := range topics {
			compare(fmt.Sprint(topic), v.About(topic, after), m.about(topic, after))
		}
	}
	checkHeld(t, w)
	return kept
}

// checkHeld checks that the arrays behind the window hold no more of the past
// than of the present, and that nobody has an empty list.
func checkHeld(t *testing.T, w *window) {
	t.Helper()
	check := func(name string, l *list) {
		if l.gone > len(l.entries) {
			t.Fatalf("%s holds %d entries that are gone beside %d", name, l.gone, len(l.entries))
		}
	}
	check("the window", &w.all)
	places := 0
	for topic, l := range w.byTopic {
		check(fmt.Sprint(topic), l)
		places += len(l.entries)
	}
	for _, e := range w.all.entries {
		places -= len(e.Topics)
	}
	if places != 0 {
		t.Fatalf("%d places too many in the lists of topics", places)
	}
}

func TestQuietRoomDoesNotKeepItsBusyPast(t *testing.T) {
	t.Parallel()
	const busy = 1000
	w := newWindow(0, busy*(entryOverhead+topicOverhead+1))
	p := Position(0)
	add := func(room RoomNID) {
		p++
		w.add([]*Entry{{Position: p, Topics: []Topic{{Room: room}}, Size: 1}})
	}
	for range busy - 1 {
		add(1)
	}
	add(1)
	for range busy - 10 {
		add(2)
	}
	add(1)
	for range 9 {
		add(2)
	}
	if l := w.byTopic[Topic{Room: 1}]; len(l.entries) != 1 || cap(l.entries) > 10 {
		t.Errorf("%d entries in an array of %d", len(l.entries), cap(l.entries))
	}
}

func TestEntryLargerThanTheWindowLeavesItEmpty(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	j := started(t, pool, Options{WindowBytes: 1})
	commit(t, j, note(1, "larger than that"))
	j.Read(func(v View) {
		if v.Position != 1 || v.Covers(0) || !v.Covers(1) || v.At(1) != nil || v.About(Topic{Room: 1}, 1) != nil {
			t.Error("the window is not empty, or does not know it")
		}
	})
}

func TestWindowIsBoundedInBytes(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	const limit = 20 * (entryOverhead + topicOverhead + 3)
	j := started(t, notesPool(t), Options{WindowBytes: limit})
	for i := range 100 {
		commit(t, j, note(RoomNID(i%3), fmt.Sprintf("%03d", i)))
		j.Read(func(v View) {
			if v.w.bytes > limit {
				t.Errorf("%d bytes after %d entries", v.w.bytes, i+1)
			}
		})
	}
	j.Read(func(v View) {
		if v.Covers(79) || !v.Covers(80) || len(v.About(Topic{Room: 0}, 80)) != 7 || v.At(81) == nil {
			t.Errorf("the window reaches back to %d", v.w.floor)
		}
	})
}
