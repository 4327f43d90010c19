package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// reading measures going back through the history of a room.
type reading struct {
	h     *house
	large *large
}

// pageEvents is how many events are asked for at once.
const pageEvents = 100

func newReading(h *house) *family {
	r := &reading{h: h}
	return &family{
		key: "history", name: "Reading history", prepare: r.prepare,
		ceiling: "queries that read the same pages from PostgreSQL, without a network between",
		cases: []testCase{{
			name: fmt.Sprintf("/messages over %d events, in pages of %d", h.size.history, pageEvents), run: r.run,
		}},
	}
}

func (r *reading) prepare(ctx context.Context) (err error) {
	r.large, err = r.h.load(ctx)
	return err
}

func (r *reading) run(ctx context.Context) ([]Figure, error) {
	room := r.large.byEvents[slices.Max(r.h.size.events)]
	c, err := dial(ctx, r.h.server.address, r.large.users[0].token)
	if err != nil {
		return nil, err
	}
	defer c.close()
	y, err := r.timed(func(latencies *[]time.Duration) error { return r.query(ctx, room, latencies) })
	if err != nil {
		return nil, err
	}
	m, err := r.timed(func(latencies *[]time.Duration) error { return r.page(c, room, latencies) })
	if err != nil {
		return nil, err
	}
	figures := []Figure{{"events", PerSecond, m.rate() * pageEvents, y.rate() * pageEvents}}
	return append(figures, answering(&m, &y, y.used.here)...), nil
}

// timed calls do, which notes how long each page took, and returns these times with what
// the server used meanwhile.
func (r *reading) timed(do func(latencies *[]time.Duration) error) (run, error) {
	var m run
	before, started := r.h.usage(), time.Now()
	if err := do(&m.latencies); err != nil {
		return m, err
	}
	m.took, m.used = time.Since(started), r.h.usage().sub(before)
	slices.Sort(m.latencies)
	return m, nil
}

// page goes back by /messages, and checks that no event comes twice.
func (r *reading) page(c *client, room string, latencies *[]time.Duration) error {
	seen := make(map[string]struct{}, r.h.size.history)
	for from := ""; len(seen) < r.h.size.history; {
		var page struct {
			End   string `json:"end"`
			Chunk []struct {
				ID string `json:"event_id"`
			} `json:"chunk"`
		}
		begun := time.Now()
		answer, err := c.do(http.MethodGet, messagesPath(room, from, pageEvents), "")
		if err != nil {
			return err
		}
		*latencies = append(*latencies, time.Since(begun))
		if err := decode(answer, &page); err != nil {
			return err
		}
		for _, e := range page.Chunk {
			if _, twice := seen[e.ID]; twice {
				return fmt.Errorf("the pages of /messages have the event %s twice", e.ID)
			}
			seen[e.ID] = struct{}{}
		}
		if from = page.End; from == "" {
			return fmt.Errorf("/messages ends after %d events", len(seen))
		}
	}
	return nil
}

// query goes back by queries.
func (r *reading) query(ctx context.Context, room string, latencies *[]time.Duration) error {
	before := int64(1) << 62
	for n := 0; n < r.h.size.history; n += pageEvents {
		begun := time.Now()
		rows, err := r.h.pool.Query(ctx, `
			SELECT e.place, e.json FROM events e
			WHERE e.room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1) AND e.place < $2
			ORDER BY e.place DESC LIMIT $3`, room, before, pageEvents)
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		for rows.Next() {
			var json []byte
			if err := rows.Scan(&before, &json); err != nil {
				rows.Close()
				return fmt.Errorf("read history: %w", err)
			}
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		*latencies = append(*latencies, time.Since(begun))
	}
	return nil
}
