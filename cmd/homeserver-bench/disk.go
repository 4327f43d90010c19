package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// keeping measures what an event takes on the disk.
type keeping struct {
	h     *house
	users []user
	room  string
}

func newKeeping(h *house) *family {
	k := &keeping{h: h}
	return &family{
		key: "disk", name: "Room on the disk", prepare: k.prepare,
		ceiling: "the bytes of the events themselves, as they would go to other servers",
		cases: []testCase{
			{name: "a message", run: k.message},
			{name: "a state event: a member", run: k.member},
		},
	}
}

// keepers is how many users write at once.
const keepers = 16

// prepare makes a room of those who write.
func (k *keeping) prepare(ctx context.Context) (err error) {
	if k.users, err = k.h.accounts(ctx, "keeper", keepers+k.h.size.kept); err != nil {
		return err
	}
	k.room, err = k.h.roomOf(ctx, k.users[:keepers])
	return err
}

// space is what the database takes, in bytes, and which events are in it.
type space struct {
	tables, indexes  float64
	position, events int64
}

// space reads it once all background work is done.
func (k *keeping) space(ctx context.Context) (s space, err error) {
	if err := k.h.settle(ctx); err != nil {
		return s, err
	}
	// What was indexed lately waits in a list of its own until there is enough of it.
	if _, err := k.h.pool.Exec(ctx, `SELECT gin_clean_pending_list('search_index_words')`); err != nil {
		return s, fmt.Errorf("finish the index of words: %w", err)
	}
	err = k.h.pool.QueryRow(ctx, `
		SELECT sum(pg_table_size(c.oid)), sum(pg_indexes_size(c.oid)),
			(SELECT max(event_nid) FROM events), (SELECT count(*) FROM events)
		FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname NOT LIKE 'bare%'`,
	).Scan(&s.tables, &s.indexes, &s.position, &s.events)
	if err != nil {
		return s, fmt.Errorf("read the sizes of tables: %w", err)
	}
	return s, nil
}

// measure writes something and shares out what it takes.
func (k *keeping) measure(ctx context.Context, write func(ctx context.Context) error) ([]Figure, error) {
	before, err := k.space(ctx)
	if err == nil {
		err = write(ctx)
	}
	if err != nil {
		return nil, err
	}
	after, err := k.space(ctx)
	if err != nil {
		return nil, err
	}
	var bytes float64
	err = k.h.pool.QueryRow(ctx, `SELECT avg(length(json)) FROM events WHERE event_nid > $1`, before.position).Scan(&bytes)
	if err != nil {
		return nil, fmt.Errorf("read the length of events: %w", err)
	}
	events := float64(after.events - before.events)
	return []Figure{
		{"tables", Bytes, (after.tables - before.tables) / events, bytes},
		{"indexes", Bytes, (after.indexes - before.indexes) / events, bytes},
	}, nil
}

// message sends messages of ten words, not encrypted, so that they can be searched.
func (k *keeping) message(ctx context.Context) ([]Figure, error) {
	return k.measure(ctx, func(ctx context.Context) error {
		var next atomic.Int64
		g, ctx := errgroup.WithContext(ctx)
		for _, u := range k.users[:keepers] {
			g.Go(func() error {
				c, err := dial(ctx, k.h.server.address, u.token)
				if err != nil {
					return err
				}
				defer c.close()
				for i := next.Add(1); i <= int64(k.h.size.kept); i = next.Add(1) {
					body := fmt.Sprintf(`{"msgtype":"m.text","body":%q}`, words(10))
					if _, err := c.do(http.MethodPut, sendPath(k.room, fmt.Sprint("kept", i)), body); err != nil {
						return err
					}
				}
				return nil
			})
		}
		return g.Wait()
	})
}

// member measures joins.
func (k *keeping) member(ctx context.Context) ([]Figure, error) {
	return k.measure(ctx, func(ctx context.Context) error {
		return k.h.fill(ctx, k.users[keepers:], func(int) []string { return []string{k.room} })
	})
}

// words makes a text of words, of which some are more common than others.
func words(n int) string {
	const vocabulary, letters, length = 5000, "etaoinshrdlu", 3
	text := make([]string, n)
	for i := range text {
		number := int(float64(vocabulary) * rand.Float64() * rand.Float64()) //nolint:gosec // nothing secret
		var word strings.Builder
		for range length {
			word.WriteByte(letters[number%len(letters)])
			word.WriteByte(letters[number/len(letters)%len(letters)])
			number /= len(letters)
		}
		text[i] = word.String()
	}
	return strings.Join(text, " ")
}
