package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"homeserver/internal/progress"
	"homeserver/internal/server"
	"homeserver/internal/server/config"
)

// loaders is how many requests are made at once while large rooms are made.
const loaders = 128

// large are the rooms whose size is measured, each by its members or events, with
// the users who are in them.
type large struct {
	users    []user
	byMember map[int]string
	byEvents map[int]string
}

// load makes the large rooms, once. The server stops and starts for that; the one
// that makes them runs in this process, where requests reach it without a network.
func (h *house) load(ctx context.Context) (*large, error) {
	if h.large != nil {
		return h.large, nil
	}
	h.stop()
	users, err := h.accounts(ctx, "member", h.size.members[len(h.size.members)-1])
	if err != nil {
		return nil, err
	}
	l := &large{users: users, byMember: map[int]string{}, byEvents: map[int]string{}}
	if err := h.inside(ctx, func(in *insider) error { return h.fillLarge(ctx, in, l) }); err != nil {
		return nil, fmt.Errorf("make large rooms: %w", err)
	}
	h.large = l
	if err := h.start(ctx); err != nil {
		return nil, err
	}
	return l, h.settle(ctx)
}

func (h *house) fillLarge(ctx context.Context, in *insider, l *large) error {
	total := 0
	for _, n := range append(h.size.members, h.size.events...) {
		total += n
	}
	in.bar = progress.New(h.o.Progress, "Making large rooms", int64(total))
	defer in.bar.Stop()
	for _, n := range h.size.members {
		room, err := in.room(ctx, l.users[:n])
		if err != nil {
			return err
		}
		l.byMember[n] = room
	}
	for _, n := range h.size.events {
		room, err := in.room(ctx, l.users[:h.size.members[0]])
		if err == nil {
			err = in.talk(ctx, l.users[:h.size.members[0]], room, n)
		}
		if err != nil {
			return err
		}
		l.byEvents[n] = room
	}
	in.bar.Done()
	return nil
}

// insider makes requests of a server in this process.
type insider struct {
	handler http.Handler
	bar     *progress.Bar
	txns    atomic.Int64 // of transactions, which are never repeated
}

// inside starts a server in this process, in the place of the other one.
func (h *house) inside(ctx context.Context, do func(in *insider) error) (err error) {
	cfg := config.Default()
	cfg.Database.URL = config.Secret(h.url())
	cfg.DataDir = h.dataDir()
	cfg.Listen = []config.Listener{{Address: "127.0.0.1:0"}}
	cfg.RateLimits.Enabled = false
	s, err := server.Start(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Shutdown(context.WithoutCancel(ctx))) }()
	return do(&insider{handler: s.Handler()})
}

// memory is an answer that nobody but this process gets.
type memory struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (m *memory) Header() http.Header { return m.header }

// WriteHeader implements http.ResponseWriter.
func (m *memory) WriteHeader(status int) { m.status = status }

// Write implements http.ResponseWriter.
func (m *memory) Write(p []byte) (int, error) { return m.body.Write(p) }

// do makes a request as a user, and decodes the answer.
func (in *insider) do(ctx context.Context, u user, method, path, body string, v any) error {
	request, err := http.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.RemoteAddr = "127.0.0.1:1"
	request.Header.Set("Authorization", "Bearer "+u.token)
	answer := &memory{header: http.Header{}, status: http.StatusOK}
	in.handler.ServeHTTP(answer, request)
	if answer.status != http.StatusOK {
		return fmt.Errorf("%s %s: status %d: %.300s", method, path, answer.status, answer.body.Bytes())
	}
	return decode(answer.body.Bytes(), v)
}

// room makes a room with some members.
func (in *insider) room(ctx context.Context, users []user) (roomID string, err error) {
	var answer struct {
		RoomID string `json:"room_id"`
	}
	if err := in.do(ctx, users[0], http.MethodPost, api+"/createRoom", roomBody, &answer); err != nil {
		return "", err
	}
	path := api + "/join/" + url.PathEscape(answer.RoomID)
	return answer.RoomID, in.all(ctx, len(users)-1, func(ctx context.Context, i int) error {
		return in.do(ctx, users[i+1], http.MethodPost, path, "{}", &struct{}{})
	})
}

// talk sends so many messages to a room. They are encrypted, so that nobody looks
// for words in them.
func (in *insider) talk(ctx context.Context, users []user, roomID string, n int) error {
	body := fmt.Sprintf(`{"algorithm":"m.megolm.v1.aes-sha2","ciphertext":%q}`, strings.Repeat("x", 200))
	path := api + "/rooms/" + url.PathEscape(roomID) + "/send/m.room.encrypted/"
	return in.all(ctx, n, func(ctx context.Context, i int) error {
		return in.do(ctx, users[i%len(users)], http.MethodPut, path+fmt.Sprint(in.txns.Add(1)), body, &struct{}{})
	})
}

// all does n things, many at once.
func (in *insider) all(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range loaders {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					return err
				}
				in.bar.Add(1)
			}
			return nil
		})
	}
	return g.Wait()
}
