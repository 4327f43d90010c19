package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// user is an account that can be used at once.
type user struct{ id, token string }

// accounts makes so many accounts, each logged in on one device, in one go: a
// password takes a server so long that a thousand would be most of the run.
func (h *house) accounts(ctx context.Context, prefix string, n int) ([]user, error) {
	users := make([]user, n)
	for i := range users {
		name := fmt.Sprintf("%s%d", prefix, i)
		users[i] = user{id: "@" + name + ":localhost", token: "bench_" + name}
	}
	b := &pgx.Batch{}
	ids, tokens := make([]string, n), make([]string, n)
	for i, u := range users {
		ids[i], tokens[i] = u.id, u.token
	}
	b.Queue(`INSERT INTO accounts (user_id, created_at) SELECT unnest($1::text[]), 0`, ids)
	b.Queue(`INSERT INTO devices (user_id, device_id, created_at, last_seen_ts, last_seen_ip, user_agent)
		SELECT unnest($1::text[]), 'BENCHMARK', 0, 0, '', ''`, ids)
	b.Queue(`INSERT INTO access_tokens (token_hash, user_id, device_id, generation)
		SELECT sha256(convert_to(u.token, 'UTF8')), u.id, 'BENCHMARK', 1
		FROM unnest($1::text[], $2::text[]) AS u(id, token)`, ids, tokens)
	if err := h.pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("make accounts: %w", err)
	}
	return users, nil
}
