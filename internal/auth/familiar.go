package auth

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/jackc/pgx/v5"

	"homeserver/internal/ratelimit"
)

// maxFamiliar bounds the addresses that are remembered, with and without an account.
const maxFamiliar = 10_000

// familiar are the addresses from which somebody was logged in, at all and to which
// account. An address is known as what it is counted as: see [ratelimit.AddressKey].
type familiar struct {
	mu    sync.Mutex
	known *simplelru.LRU[string, struct{}]
}

func newFamiliar() *familiar {
	known, _ := simplelru.NewLRU[string, struct{}](2*maxFamiliar, nil) // it refuses sizes below 1 only
	return &familiar{known: known}
}

// add notes that somebody was logged in to an account from an address.
func (f *familiar) add(caller, userID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known.Add(caller, struct{}{})
	f.known.Add(caller+" "+userID, struct{}{})
}

// knows reports whether a caller is a user, the server itself, or an address from which
// somebody was logged in.
func (f *familiar) knows(caller string) bool {
	if caller == "" || strings.HasPrefix(caller, "@") {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.known.Get(caller)
	return ok
}

// knowsAt reports whether somebody was logged in from an address to one of the accounts.
func (f *familiar) knowsAt(caller string, userIDs []string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, userID := range userIDs {
		if _, ok := f.known.Get(caller + " " + userID); ok {
			return true
		}
	}
	return false
}

// addSeen notes where a device was seen.
func (f *familiar) addSeen(userID, ip string) {
	if address, err := netip.ParseAddr(ip); err == nil {
		f.add(ratelimit.AddressKey(address), userID)
	}
}

// recall makes the addresses familiar from which devices were seen last, after a start.
func (s *Service) recall(ctx context.Context) error {
	rows, err := s.pool.Query(ctx, `SELECT user_id, last_seen_ip FROM devices ORDER BY last_seen_ts DESC LIMIT $1`, maxFamiliar)
	if err != nil {
		return fmt.Errorf("query where devices were seen: %w", err)
	}
	var userID, ip string
	_, err = pgx.ForEachRow(rows, []any{&userID, &ip}, func() error {
		s.hasher.familiar.addSeen(userID, ip)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read where devices were seen: %w", err)
	}
	return nil
}
