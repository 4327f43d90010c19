package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// patience is how long an answer may take before the run has failed.
const patience = 2 * time.Minute

// client is one connection to a server, on which one request follows the other. It
// is for one goroutine.
type client struct {
	address string
	token   string // sent as Bearer unless empty
	conn    net.Conn
	reader  *bufio.Reader
	out     []byte
	answer  bytes.Buffer
	unbind  func() bool
}

// dial connects to host:port. When the context ends, so does the connection.
func dial(ctx context.Context, address, token string) (*client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to the server: %w", err)
	}
	c := &client{address: address, token: token, conn: conn, reader: bufio.NewReader(conn)}
	c.unbind = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return c, nil
}

// close closes the connection.
func (c *client) close() {
	c.unbind()
	_ = c.conn.Close() // whatever was to be read has been
}

// do sends a request and reads the whole answer, which is valid until the next
// request. An answer that is not 200 is an error.
func (c *client) do(method, path, body string) ([]byte, error) {
	if err := c.send(method, path, body); err != nil {
		return nil, err
	}
	return c.receive(method + " " + path)
}

// send sends a request, to be followed by receive.
func (c *client) send(method, path, body string) error {
	c.out = fmt.Appendf(c.out[:0], "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, c.address)
	if c.token != "" {
		c.out = fmt.Appendf(c.out, "Authorization: Bearer %s\r\n", c.token)
	}
	c.out = fmt.Appendf(c.out, "Content-Length: %d\r\n\r\n%s", len(body), body)
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// receive reads the answer to what was sent.
func (c *client) receive(what string) ([]byte, error) {
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	c.answer.Reset()
	_, err = io.Copy(&c.answer, response.Body)
	_ = response.Body.Close() // it was only read
	if err != nil {
		return nil, fmt.Errorf("%s: read the answer: %w", what, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d: %.300s", what, response.StatusCode, c.answer.Bytes())
	}
	return c.answer.Bytes(), nil
}

// into does a request and decodes the answer.
func (c *client) into(v any, method, path, body string) error {
	answer, err := c.do(method, path, body)
	if err != nil {
		return err
	}
	return decode(answer, v)
}

// decode reads an answer.
func decode(answer []byte, v any) error {
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("%w in the answer %.300s", err, answer)
	}
	return nil
}
