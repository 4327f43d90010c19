package bare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// ServeAnswer is the least that an endpoint can be: a server of net/http on loopback that
// answers every request with the same JSON. It writes its address, host:port, as a line,
// and serves until its input ends, as it does with the process that holds the other end.
func ServeAnswer(ctx context.Context, answer string, stdin io.Reader, stdout io.Writer) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the bare handler: %w", err)
	}
	body, length := []byte(answer), strconv.Itoa(len(answer))
	const headers = 10 * time.Second
	server := &http.Server{ReadHeaderTimeout: headers, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", length)
		_, _ = w.Write(body) // a client that has gone needs none
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	_, err = fmt.Fprintln(stdout, listener.Addr())
	_, _ = io.Copy(io.Discard, stdin) // whatever ends it
	err = errors.Join(err, server.Close())
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
