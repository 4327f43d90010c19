package syncstream_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/matrix"
	"homeserver/internal/syncstream"
)

// uploadOneTimeKeys uploads keys that are not signed, with IDs from a number on.
func (h *env) uploadOneTimeKeys(who matrix.Session, from, n int) {
	h.T.Helper()
	keys := map[string]json.RawMessage{}
	for i := range n {
		keys[fmt.Sprintf("curve25519:%d", from+i)] = json.RawMessage(`"` + strings.Repeat("A", 43) + `"`)
	}
	_, err := h.keys.Upload(h.T.Context(), who, devicekeys.UploadRequest{OneTimeKeys: keys})
	h.OK(err)
}

func TestPollWakesWhenAKeyIsClaimed(t *testing.T) {
	h := newEnv(t)
	who, other := h.Device("bob", "PHONE"), h.Device("bob", "LAPTOP")
	h.uploadOneTimeKeys(who, 0, 2)
	q := syncstream.Query{UserID: who.UserID, DeviceID: who.DeviceID}
	q.Since = h.sync(q).NextBatch
	for left := 1; left >= 0; left-- {
		w := h.await(q)
		_, err := h.keys.Claim(t.Context(), devicekeys.ClaimRequest{
			OneTimeKeys: map[string]map[string]string{who.UserID: {who.DeviceID: "curve25519"}},
		})
		h.OK(err)
		if a, want := w.get(), fmt.Sprintf(`"curve25519":%d,`, left); left > 0 && !strings.Contains(string(a.raw), want) {
			t.Errorf("no %s in %s", want, a.raw)
		}
	}
	// What concerns another device is no news.
	w := h.await(q)
	h.uploadOneTimeKeys(other, 0, 1)
	w.waitsAgain()
}
