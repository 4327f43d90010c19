package devicekeys

import (
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/cache"
	"homeserver/internal/cache/cachetest"
	"homeserver/internal/matrixtest"
)

func TestCountsTakeNoMoreMemoryThanTheirShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 16 << 20
	for name, size := range map[string]struct{ devices, algorithms int }{
		"one device": {1, 1}, "many devices": {1000, 1}, "many algorithms": {1, 200},
	} {
		t.Run(name, func(t *testing.T) {
			counts := cache.NewLRU(cache.Options[string, *userCounts]{Share: share, Weigh: weighCounts})
			cachetest.Fill(t, share, counts.Stats, func() {
				for i, put := 0, 0; put < 2*share; i++ {
					userID := fmt.Sprintf("@user%d:localhost", i)
					u, _ := counts.PutNew(userID, &userCounts{byDevice: map[string]*Counts{}})
					for d := range size.devices {
						oneTime := map[string]int64{}
						for a := range size.algorithms {
							oneTime[fmt.Sprintf("org.example.algorithm%d", a)] = 1
						}
						u.put(fmt.Sprintf("DEVICE%d", d), newCounts(oneTime, []string{"signed_curve25519"}))
						counts.Reweigh(userID)
					}
					put += weighCounts(userID, u)
				}
			})
		})
	}
}

func TestKeysTakeNoMoreMemoryThanTheirShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 16 << 20
	for name, devices := range map[string]int{"no device": 0, "one device": 1, "many devices": 300} {
		t.Run(name, func(t *testing.T) {
			known := cache.New(share, weighPublicKeys)
			cachetest.Fill(t, share, known.Stats, func() {
				for i, put := 0, 0; put < 2*share; i++ {
					userID, keys := fmt.Sprintf("@user%d:localhost", i), &publicKeys{}
					for d := range devices {
						keys.devices = append(keys.devices, &shownDevice{
							UserID: strings.Clone(userID), DeviceID: fmt.Sprintf("DEVICE%d", d), json: make([]byte, 500),
						})
					}
					if devices > 0 {
						keys.masters = []*shownKey{{UserID: strings.Clone(userID), PublicKey: fmt.Sprint("key of ", userID), json: make([]byte, 300)}}
						keys.selfSigning = []*shownKey{{UserID: strings.Clone(userID), PublicKey: fmt.Sprint("other of ", userID), json: make([]byte, 300)}}
					}
					known.Place(userID).Store(keys)
					put += weighPublicKeys(userID, keys) + 100
				}
			})
		})
	}
}
