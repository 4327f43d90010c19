package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// slidingPath is the path of sliding sync, and slidingBody asks for the newest rooms as Element X
// does when it starts.
const (
	slidingPath = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
	slidingBody = `{"conn_id":"room-list","lists":{"all_rooms":{"ranges":[[0,19]],"timeline_limit":1,"filters":{},"required_state":[` +
		`["m.room.name",""],["m.room.encryption",""],["m.room.member","$LAZY"],["m.room.member","$ME"],["m.room.topic",""],["m.room.avatar",""],` +
		`["m.room.canonical_alias",""],["m.room.power_levels",""],["m.room.join_rules",""],["m.room.tombstone",""],["m.room.create",""],["m.space.child","*"]]}},` +
		`"extensions":{"account_data":{"enabled":true},"receipts":{"enabled":true,"rooms":["*"]},"typing":{"enabled":true}}}`
)

// slide makes one request of sliding sync again and again on one connection.
func slide(c *client, query string) part {
	return func(int) error {
		_, err := c.do(http.MethodPost, slidingPath+query, slidingBody)
		return err
	}
}

// firstSlide asks for the newest rooms again and again, by turns with an initial /sync, which has all.
func (h *house) firstSlide(ctx context.Context, u user) ([]Figure, error) {
	c, err := dial(ctx, h.server.address, u.token)
	if err != nil {
		return nil, err
	}
	defer c.close()
	m, y, err := h.race(ctx, 1, slide(c, ""), repeat(c, syncPath("", lazyMembers, 0)))
	return answering(&m, &y, y.used.server), err
}

// slideOverNothing asks again and again when nothing is new, by turns with whoami.
func (s *syncing) slideOverNothing(ctx context.Context) ([]Figure, error) {
	c, err := dial(ctx, s.h.server.address, s.users[0].token)
	if err != nil {
		return nil, err
	}
	defer c.close()
	answer, err := c.do(http.MethodPost, slidingPath, slidingBody)
	if err != nil {
		return nil, err
	}
	var first struct{ Pos string }
	if err := json.Unmarshal(answer, &first); err != nil {
		return nil, fmt.Errorf("read an answer of sliding sync: %w", err)
	}
	m, y, err := s.h.race(ctx, 1, slide(c, "?pos="+first.Pos), repeat(c, api+"/account/whoami"))
	return answering(&m, &y, y.used.server), err
}
