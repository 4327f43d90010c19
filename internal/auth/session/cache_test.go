package session

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"homeserver/internal/auth/secret"
	"homeserver/internal/cache/cachetest"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	const share, sessions = 1 << 20, 10_000
	cache := newTokenCache(share)
	now := time.Unix(0, 0)
	long := matrix.Session{UserID: strings.Repeat("u", 255), DeviceID: strings.Repeat("d", 255)}
	for i := range sessions {
		cache.put(secret.Hash{byte(i), byte(i >> 8)}, knownToken{session: long}, 0, now)
	}
	if got := cache.stats(); got.Bytes > share || got.Entries < share/1500 || got.Entries > share/700 {
		t.Errorf("got %+v", got)
	}
	if _, _, ok := cache.get(secret.Hash{}, now); ok {
		t.Error("the oldest token is still there")
	}
}

func TestWhatIsKeptOfSessionsTakesNoMoreMemoryThanItsShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 8 << 20
	for name, text := range map[string]string{"short": "", "long": strings.Repeat("x", 240)} {
		t.Run(name, func(t *testing.T) {
			tokens := newTokenCache(share)
			cachetest.Fill(t, share, tokens.stats, func() {
				for i := range 60_000 {
					var hash secret.Hash
					binary.BigEndian.PutUint64(hash[:], uint64(i))
					n := fmt.Sprint(i)
					tokens.put(hash, knownToken{session: matrix.Session{UserID: n + text, DeviceID: n + text}}, 0, time.Time{})
				}
			})
			seen := newLastSeen(share)
			cachetest.Fill(t, share, seen.stats, func() {
				for i := range 60_000 {
					n := fmt.Sprint(i)
					seen.note(deviceKey{n + text, n + text}, sighting{userAgent: n + text})
				}
			})
		})
	}
}
