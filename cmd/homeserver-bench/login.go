package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"runtime"

	"golang.org/x/crypto/argon2"

	"homeserver/internal/auth"
)

// loggingIn measures logins with a password.
type loggingIn struct {
	h       *house
	clients int
}

func newLoggingIn(h *house) *family {
	l := &loggingIn{h: h, clients: runtime.NumCPU()}
	return &family{
		key: "login", name: "Logging in", prepare: l.prepare,
		ceiling: "as many bare argon2id hashes at once, with the parameters of the server",
		cases:   []testCase{{name: fmt.Sprintf("%d at once", l.clients), run: l.run}},
	}
}

// loginPassword is that of all accounts that log in.
const loginPassword = "a password that nobody guesses"

func (l *loggingIn) prepare(ctx context.Context) error {
	c, err := dial(ctx, l.h.server.address, "")
	if err != nil {
		return err
	}
	defer c.close()
	for i := range l.clients {
		body := fmt.Sprintf(`{"username":"login%d","password":%q,"auth":{"type":"m.login.dummy"}}`, i, loginPassword)
		if _, err := c.do(http.MethodPost, api+"/register", body); err != nil {
			return err
		}
	}
	return nil
}

func (l *loggingIn) run(ctx context.Context) ([]Figure, error) {
	clients, err := l.h.connections(ctx, make([]user, l.clients))
	if err != nil {
		return nil, err
	}
	defer closeAll(clients)
	params := auth.DefaultArgonParams()
	m, y, err := l.h.race(ctx, l.clients,
		func(worker int) error {
			body := fmt.Sprintf(`{"type":"m.login.password","device_id":"BENCHMARK","password":%q,
				"identifier":{"type":"m.id.user","user":"login%d"}}`, loginPassword, worker)
			_, err := clients[worker].do(http.MethodPost, api+"/login", body)
			return err
		},
		func(int) error {
			const size = 32
			argon2.IDKey([]byte(loginPassword), []byte(rand.Text()[:16]), params.Passes, params.MemoryKiB, params.Threads, size)
			return nil
		})
	figures := append([]Figure{{"logins", PerSecond, m.rate(), y.rate()}}, answering(&m, &y, y.used.here)...)
	return figures, err
}
