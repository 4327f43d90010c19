package auth

import (
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/cache/cachetest"
	"homeserver/internal/matrixtest"
)

func TestWhatIsKeptOfAddressesTakesNoMoreMemoryThanItsShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 8 << 20
	for name, text := range map[string]string{"short": "", "long": strings.Repeat("x", 240)} {
		t.Run(name, func(t *testing.T) {
			addresses := newFamiliar(share)
			cachetest.Fill(t, share, addresses.known.Stats, func() {
				for i := range 60_000 {
					addresses.add(fmt.Sprint("192.0.2.", i), fmt.Sprint(i, text))
				}
			})
		})
	}
}
