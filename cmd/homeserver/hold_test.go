package main

import (
	"fmt"
	"net"
	"testing"
)

// holdRequest sends a request whose body never comes, and returns once the server has begun with it.
func holdRequest(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: %s\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", address)
	if err != nil {
		t.Fatal(err)
	}
	// The server says "continue" as soon as its handler reads the body.
	if _, err := conn.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	return conn
}
