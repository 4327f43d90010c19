package api

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"homeserver/internal/clienttest"
	"homeserver/internal/journal/journalbench"
)

// BenchmarkSendOverHTTP races sending messages over HTTP, on connections that
// stay open, against a bare group commit of the same rows. The clients take their
// part of the same processors.
func BenchmarkSendOverHTTP(b *testing.B) {
	const most = 64
	pool := journalbench.Open(b)
	server := httptest.NewServer(newAPI(b, servicesOn(b, pool)).Handler())
	b.Cleanup(server.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: most}
	b.Cleanup(transport.CloseIdleConnections)
	alice := clienttest.At(b, server.URL, &http.Client{Transport: transport}).Register("alice", "wordpass")
	list := make([]string, most)
	for i := range list {
		list[i] = alice.CreateRoom(nil)
	}
	alice.SendText(list[0], "a message of the usual length, which is not very long")
	bare := journalbench.StartMessages(b, pool)
	var txns atomic.Int64
	for _, c := range []struct {
		name  string
		rooms int
	}{{"one-room", 1}, {"many-rooms", most}} {
		for _, senders := range []int{1, 16, most} {
			b.Run(fmt.Sprintf("%s/senders=%d", c.name, senders), func(b *testing.B) {
				journalbench.Race(b, senders,
					func(sender, _ int) error {
						return putMessage(b, transport, alice, server.URL, list[sender%c.rooms], fmt.Sprint(txns.Add(1)))
					},
					func(sender, _ int) error { return bare.Commit(sender, c.rooms) })
			})
		}
	}
}

// putMessage sends one message as clients do, with a transaction ID of its own.
func putMessage(b *testing.B, transport http.RoundTripper, c *clienttest.Client, base, room, txn string) error {
	const body = `{"msgtype":"m.text","body":"a message of the usual length, which is not very long"}`
	url := base + c.Prefix + clienttest.Path("rooms", room, "send", "m.room.message", txn)
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPut, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.Token)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, answer)
	}
	return err
}
