package devicekeys_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/reserve"
)

// neighbour is a server that answers beside one that does not.
type neighbour struct{ asked []any }

// Query answers with keys of one user.
func (n *neighbour) Query(_ context.Context, devicesOf map[string][]string, timeout time.Duration) (devicekeys.RemoteKeys, devicekeys.Failures) {
	n.asked = append(n.asked, devicesOf, timeout)
	key := func(text string) json.RawMessage { return json.RawMessage(`{"k":"` + text + `"}`) }
	return devicekeys.RemoteKeys{
		Devices: map[string]map[string]json.RawMessage{"@x:near.example": {"A": key("a"), "B": key("b")}, "@y:near.example": {}},
		Masters: map[string]json.RawMessage{"@x:near.example": key("m")}, SelfSigning: map[string]json.RawMessage{"@x:near.example": key("s")},
	}, devicekeys.Failures{"far.example": {Status: 504, Message: "too late"}}
}

// Claim does the same.
func (n *neighbour) Claim(
	_ context.Context, wanted map[string]map[string]string, timeout time.Duration,
) (map[string]map[string]map[string]json.RawMessage, devicekeys.Failures) {
	n.asked = append(n.asked, wanted, timeout)
	return map[string]map[string]map[string]json.RawMessage{"@x:near.example": {"A": {"curve25519:1": json.RawMessage(`"k"`)}}},
		devicekeys.Failures{"far.example": {Status: 504, Message: "too late"}}
}

func TestKeysOfOtherServersStandBesideThoseOfThisOne(t *testing.T) {
	t.Parallel()
	n := &neighbour{}
	h := envWith(t, nil, func(o *devicekeys.Options) { o.Remote = n })
	who := h.Device("alice", "PHONE")
	h.give(who, 0, 1)
	write := func(answer interface {
		WriteJSON(ctx context.Context, w *reserve.Writer) error
	}, err error,
	) string {
		h.OK(err)
		w := reserve.NewWriter(nil, nil)
		h.OK(answer.WriteJSON(t.Context(), w))
		return string(w.B)
	}
	const failures = `"failures":{"far.example":{"status":504,"message":"too late"}}`
	got := write(h.Query(t.Context(), who, devicekeys.QueryRequest{
		Timeout: new(int64(500)), DeviceKeys: map[string][]string{who.UserID: nil, "@x:near.example": {"A", "B"}, "@y:near.example": nil, "@z:far.example": nil},
	}))
	want := `{"device_keys":{"@alice:localhost":{},"@x:near.example":{"A":{"k":"a"},"B":{"k":"b"}},"@y:near.example":{}},` + failures +
		`,"master_keys":{"@x:near.example":{"k":"m"}},"self_signing_keys":{"@x:near.example":{"k":"s"}},"user_signing_keys":{}}`
	if got != want {
		t.Errorf("keys: %s", got)
	}
	got = write(h.Claim(t.Context(), devicekeys.ClaimRequest{
		Timeout:     new(int64(1 << 40)),
		OneTimeKeys: map[string]map[string]string{who.UserID: {"PHONE": "curve25519"}, "@x:near.example": {"A": "curve25519"}, "@z:far.example": {"C": "x"}},
	}))
	want = `{` + failures + `,"one_time_keys":{"@alice:localhost":{"PHONE":{"curve25519:000000":"` + keyText(0) + `"}},"@x:near.example":{"A":{"curve25519:1":"k"}}}}`
	if got != want {
		t.Errorf("claimed: %s", got)
	}
	if n.asked[1] != 500*time.Millisecond || n.asked[3] != time.Minute {
		t.Errorf("waited for %v and %v", n.asked[1], n.asked[3])
	}
	if asked := n.asked[0].(map[string][]string); len(asked) != 3 || len(asked["@x:near.example"]) != 2 {
		t.Errorf("asked for %v", asked)
	}
	_, err := h.Query(t.Context(), who, devicekeys.QueryRequest{DeviceKeys: map[string][]string{"x": nil}})
	matrixtest.WantCode(t, err, matrix.InvalidParam)
}
