package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

// toDevice sends messages of a type by a transaction: users, devices and contents.
func toDevice(c *matrixtest.Client, typ, txn string, messages map[string]any) *matrixtest.Response {
	c.T.Helper()
	return c.Do("PUT", "/sendToDevice/"+typ+"/"+txn, map[string]any{"messages": messages})
}

// received lists the messages to the device in an answer of /sync, each as sender, type
// and the n of its content.
func received(r *matrixtest.Response) (list []string) {
	events, _ := r.At("to_device", "events").([]any)
	for _, m := range events {
		event := m.(map[string]any)
		content, _ := event["content"].(map[string]any)
		n, _ := content["n"].(string)
		list = append(list, event["sender"].(string)+" "+event["type"].(string)+" "+n)
	}
	return list
}

func wantReceived(t *testing.T, r *matrixtest.Response, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, received(r)); diff != "" {
		t.Errorf("messages to the device (-want +got):\n%s", diff)
	}
}

func n(text string) map[string]any { return map[string]any{"n": text} }

func TestMessagesReachTheDevicesTheyAreFor(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, phone := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	desk := anyone.Login("bob", "wordpass")
	before := phone.Sync("").NextBatch()
	atDesk := desk.Sync("").NextBatch()
	toDevice(alice, "m.one", "1", map[string]any{phone.UserID: map[string]any{phone.DeviceID: n("a"), "NOBODY": n("x")}}).OK()
	toDevice(alice, "m.two", "2", map[string]any{
		phone.UserID: map[string]any{"*": n("b"), desk.DeviceID: n("c")}, "@nobody:localhost": map[string]any{"*": n("x")},
		"@carol:elsewhere.example": map[string]any{"*": n("x")}, alice.UserID: map[string]any{alice.DeviceID: n("d")},
	}).OK()

	first := phone.Sync(before)
	wantReceived(t, first, alice.UserID+" m.one a", alice.UserID+" m.two b")
	wantReceived(t, phone.Sync(before), alice.UserID+" m.one a", alice.UserID+" m.two b") // nothing was acknowledged
	wantReceived(t, phone.Sync(first.NextBatch()))
	wantReceived(t, desk.Sync(atDesk), alice.UserID+" m.two c")
	wantReceived(t, alice.Sync(""), alice.UserID+" m.two d")
}
