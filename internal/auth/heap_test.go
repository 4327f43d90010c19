package auth

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"homeserver/internal/auth/secret"
	"homeserver/internal/cache/cachetest"
	"homeserver/internal/matrix"
)

func TestWhatIsKeptOfSessionsTakesNoMoreMemoryThanItsShare(t *testing.T) {
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
					seen.note(deviceKey{n + text, n + text}, sighting{ip: n, userAgent: n + text})
				}
			})
			addresses := newFamiliar(share)
			cachetest.Fill(t, share, addresses.known.Stats, func() {
				for i := range 60_000 {
					addresses.add(fmt.Sprint("192.0.2.", i), fmt.Sprint(i, text))
				}
			})
		})
	}
}
