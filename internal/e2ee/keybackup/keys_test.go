package keybackup

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/reserve"
)

func TestTenThousandKeysInOneRequest(t *testing.T) {
	h := newEnv(t)
	version := h.backup(alice)
	keys := batch(100, MaxBatch/100, 700)
	first := h.put(alice, version, keys)
	if first.Count != MaxBatch {
		t.Errorf("%d keys are counted", first.Count)
	}
	if again := h.put(alice, version, keys); again != first {
		t.Errorf("the same again: %+v, was %+v", again, first)
	}
	if n := len(h.all(t.Context(), alice, version, "")); n != MaxBatch {
		t.Errorf("%d keys are read", n)
	}

	keys["!more:localhost"] = RoomRequest{Sessions: map[string]KeyRequest{"s": request(false, 0, 0, []byte(`{}`))}}
	_, err := h.PutKeys(t.Context(), alice, version, keys)
	matrixtest.WantCode(t, err, matrix.TooLarge)
	if n := h.number(`SELECT count(*) FROM room_keys`); n != MaxBatch {
		t.Errorf("%d keys are kept", n)
	}
}

// Two devices back up the same keys at once.
func TestKeysThatComeAtOnceAreAllCounted(t *testing.T) {
	h := newEnv(t)
	version := h.backup(alice)
	var all sync.WaitGroup
	for device := range 8 {
		all.Go(func() {
			for n := range 10 {
				keys := batch(3, 10, 0)
				keys[fmt.Sprint("!of", device)] = batch(1, n, 0)["!room0:localhost"]
				for _, room := range keys {
					for id, key := range room.Sessions {
						key.FirstMessageIndex = new(int64(7*device+n) % 11)
						room.Sessions[id] = key
					}
				}
				if _, err := h.PutKeys(t.Context(), alice, version, keys); err != nil {
					t.Error(err)
				}
				if _, err := h.DeleteKeys(t.Context(), alice, version, fmt.Sprint("!of", device), fmt.Sprintf("session %d of 0", n/2)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	state, err := h.Newest(t.Context(), alice)
	h.OK(err)
	if n := h.number(`SELECT count(*) FROM room_keys`); n != state.Count || n < 30 {
		t.Errorf("%d keys, counted as %d", n, state.Count)
	}
	if n := h.number(`SELECT bytes - (SELECT sum(octet_length(session_data) + $1) FROM room_keys) FROM key_backups`, besideData); n != 0 {
		t.Errorf("%d bytes too many are counted", n)
	}
	for _, k := range h.all(t.Context(), alice, version, "!room0:localhost") {
		if k.FirstMessageIndex != 0 {
			t.Errorf("of %s a worse key is kept, from index %d", k.SessionID, k.FirstMessageIndex)
		}
	}
}

// TestALargeBackupIsReadInParts reads backups of small and of large keys with an account that
// has little memory.
func TestALargeBackupIsReadInParts(t *testing.T) {
	h := newEnv(t)
	for _, shape := range []struct{ rooms, sessions, bytes int }{{20, 400, 800}, {3, 60, 60 << 10}, {2, partKeys, 10}, {1, 1, 10}} {
		version := h.backup(alice)
		keys := batch(shape.rooms, shape.sessions, shape.bytes)
		h.put(alice, version, keys)
		account := reserve.New(8<<20, nil).Open(alice)
		ctx := reserve.With(t.Context(), account)
		list, err := h.Keys(ctx, alice, version, "")
		h.OK(err)
		var last Key
		var most int64
		n := 0
		for k, err := range list.All(ctx) {
			h.OK(err)
			if cmp.Or(cmp.Compare(last.RoomID, k.RoomID), cmp.Compare(last.SessionID, k.SessionID)) >= 0 {
				t.Fatalf("%v: %q of %q comes after %q of %q", shape, k.SessionID, k.RoomID, last.SessionID, last.RoomID)
			}
			if want := keys[k.RoomID].Sessions[k.SessionID].SessionData; string(k.SessionData) != string(want) {
				t.Fatalf("%v: %q has other data", shape, k.SessionID)
			}
			most = max(most, reserve.Used(ctx))
			last = *k
			n++
		}
		if n != shape.rooms*shape.sessions {
			t.Errorf("%v: %d keys are read", shape, n)
		}
		if most > partCost {
			t.Errorf("%v: %d bytes are held at once", shape, most)
		}
		if of := h.all(ctx, alice, version, "!room0:localhost"); len(of) != shape.sessions {
			t.Errorf("%v: %d keys are read of one room", shape, len(of))
		}
		account.Close()
	}
}

// TestWhichKeyIsBetter compares the rule with its words: each case is worse than those after it.
func TestWhichKeyIsBetter(t *testing.T) {
	t.Parallel()
	var rising []Key
	for _, verified := range []bool{false, true} {
		for index := int64(3); index >= 0; index-- {
			for forwarded := int64(3); forwarded >= 0; forwarded-- {
				rising = append(rising, Key{FirstMessageIndex: index, ForwardedCount: forwarded, IsVerified: verified})
			}
		}
	}
	for i := range rising {
		for j := range rising {
			if got := rising[i].betterThan(&rising[j]); got != (i > j) {
				t.Errorf("%+v is better than %+v: %v", rising[i], rising[j], got)
			}
		}
	}
}

func TestWhatAUserBacksUpIsBounded(t *testing.T) {
	h := newEnv(t)
	old, version := h.backup(alice), h.backup(alice)
	one := batch(1, 1, 0)
	h.put(alice, version, one)
	for _, full := range []string{
		fmt.Sprintf(`UPDATE key_backups SET keys = %d, bytes = 0 WHERE version = %s`, MaxKeys-1, old),
		fmt.Sprintf(`UPDATE key_backups SET keys = 0, bytes = %d WHERE version = %s`, MaxBytes-500, old),
	} {
		h.exec(full)
		before, err := h.Newest(t.Context(), alice)
		h.OK(err)
		_, err = h.PutKeys(t.Context(), alice, version, batch(1, 2, 100))
		matrixtest.WantCode(t, err, matrix.TooLarge, full)
		h.put(alice, version, one)
		if after, err := h.Newest(t.Context(), alice); err != nil || after.ETag != before.ETag || after.Count != 1 {
			t.Errorf("%s: the backup is %+v, %v", full, after, err)
		}
	}
	h.put(bob, h.backup(bob), batch(1, 2, 100))
}

// A disk or a hand has spoilt keys: the others are still there.
func TestDamagedKeysAreLeftOut(t *testing.T) {
	h := newEnv(t)
	version := h.backup(alice)
	h.put(alice, version, batch(1, 3, 0))
	for i, spoilt := range []string{`''`, `'{"a":'`, `'[]'`} {
		h.exec(`UPDATE room_keys SET session_data = `+spoilt+`::bytea WHERE session_id = $1`, fmt.Sprintf("session %d of 0", i))
		for range 2 {
			if n := len(h.all(t.Context(), alice, version, "")); n != 2-i {
				t.Errorf("%d keys are read", n)
			}
			_, err := h.Key(t.Context(), alice, version, "!room0:localhost", fmt.Sprintf("session %d of 0", i))
			matrixtest.WantCode(t, err, matrix.NotFound)
		}
		if n := strings.Count(h.log.String(), "is damaged"); n != i+1 {
			t.Errorf("the log has it %d times, want %d: %s", n, i+1, h.log.String())
		}
	}
	h.exec(`UPDATE key_backups SET auth_data = 'x'`)
	if _, err := h.Newest(t.Context(), alice); err == nil || matrix.IsCode(err, matrix.NotFound) {
		t.Errorf("the backup itself: %v", err)
	}
}
