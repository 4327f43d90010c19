//go:build !goolm

package server

import "testing"

func TestEncryptedRoomWithARealClient(t *testing.T) {
	t.Skip("the client's Olm is in Go only by a build tag: go test -tags goolm, as make test does")
}
