package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"homeserver/cmd/homeserver-bench/bare"
)

// trivial measures endpoints that do nothing.
type trivial struct {
	h    *house
	user user
}

func newTrivial(h *house) *family {
	t := &trivial{h: h}
	return &family{
		key: "trivial", name: "An endpoint that does nothing", prepare: t.prepare,
		ceiling: "a bare handler of net/http in a process of its own, which answers the same client with the same bytes, " +
			"and neither looks at a token nor logs, counts and limits",
		cases: []testCase{
			{name: "/versions", run: func(ctx context.Context) ([]Figure, error) { return t.ask(ctx, "/_matrix/client/versions", "") }},
			{name: "whoami", run: func(ctx context.Context) ([]Figure, error) { return t.ask(ctx, api+"/account/whoami", t.user.token) }},
		},
	}
}

func (t *trivial) prepare(ctx context.Context) error {
	users, err := t.h.accounts(ctx, "trivial", 1)
	if err == nil {
		t.user = users[0]
	}
	return err
}

// ask makes one request again and again, by turns of the server and of the bare handler.
func (t *trivial) ask(ctx context.Context, path, token string) ([]Figure, error) {
	c, err := dial(ctx, t.h.server.address, token)
	if err != nil {
		return nil, err
	}
	defer c.close()
	answer, err := c.do(http.MethodGet, path, "")
	if err != nil {
		return nil, err
	}
	other, err := startBareHandler(ctx, string(answer))
	if err != nil {
		return nil, err
	}
	defer other.stop()
	b, err := dial(ctx, other.address, token)
	if err != nil {
		return nil, err
	}
	defer b.close()
	t.h.beside = other.cmd.Process.Pid
	defer func() { t.h.beside = 0 }()
	m, y, err := t.h.race(ctx, 1, repeat(c, path), repeat(b, path))
	return answering(&m, &y, y.used.beside), err
}

// bareHandlerArg makes this program the bare handler: bare.ServeAnswer of the next
// argument.
const bareHandlerArg = "bare-handler"

// serveBareHandler is the bare handler in the process that was started for it.
func serveBareHandler(ctx context.Context, answer string, stdout, stderr io.Writer) int {
	if err := bare.ServeAnswer(ctx, answer, os.Stdin, stdout); err != nil {
		_, _ = fmt.Fprintf(stderr, "homeserver-bench: %v\n", err)
		return exitFailure
	}
	return exitOK
}

// bareHandler is a bare handler in a process of its own, which is this program again.
type bareHandler struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	address string
}

// startBareHandler starts a bare handler. It runs until stop, or until this process ends.
func startBareHandler(ctx context.Context, answer string) (*bareHandler, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	b := &bareHandler{cmd: exec.CommandContext(ctx, program, bareHandlerArg, answer)} //nolint:gosec // itself
	b.cmd.Stderr = os.Stderr
	if b.stdin, err = b.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start the bare handler: %w", err)
	}
	stdout, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the bare handler: %w", err)
	}
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the bare handler: %w", err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.stop()
		return nil, fmt.Errorf("read where the bare handler is: %w", err)
	}
	b.address = strings.TrimSpace(line)
	return b, nil
}

// stop ends the process, and returns when it has ended.
func (b *bareHandler) stop() {
	_ = b.stdin.Close() // ends it
	_ = b.cmd.Wait()    // however it ended
}
