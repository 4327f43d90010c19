package auth

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/kept"
	"homeserver/internal/ratelimit"
)

// maxRecalled is how many devices are asked for their addresses after a start.
const maxRecalled = 10_000

// familiar are the addresses from which somebody was logged in, at all and to which
// account; guests don't count, since anybody can be one. An address is known as what it
// is counted as: see [ratelimit.AddressKey].
type familiar struct {
	seed  maphash.Seed
	known *kept.LRU[uint64, struct{}] // by a number that stands for the address and the account, "" for any
}

func newFamiliar(share int) *familiar {
	return &familiar{maphash.MakeSeed(), kept.NewLRU(kept.Options[uint64, struct{}]{Share: share})}
}

func (f *familiar) number(caller, userID string) uint64 {
	return maphash.Comparable(f.seed, [2]string{caller, userID})
}

// add notes that somebody was logged in to an account from an address. Other callers
// need no note: a user, and the server itself.
func (f *familiar) add(caller, userID string) {
	if alwaysFamiliar(caller) {
		return
	}
	f.known.Put(f.number(caller, ""), struct{}{})
	f.known.Put(f.number(caller, userID), struct{}{})
}

// knows reports whether a caller is a user, the server itself, or an address from which
// somebody was logged in.
func (f *familiar) knows(caller string) bool {
	if alwaysFamiliar(caller) {
		return true
	}
	_, ok := f.known.Get(f.number(caller, ""))
	return ok
}

func alwaysFamiliar(caller string) bool { return caller == "" || strings.HasPrefix(caller, "@") }

// knowsAt reports whether somebody was logged in from an address to one of the accounts.
func (f *familiar) knowsAt(caller string, userIDs []string) bool {
	for _, userID := range userIDs {
		if _, ok := f.known.Get(f.number(caller, userID)); ok {
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

// recall makes the addresses familiar from which devices were seen last, after a start;
// those of guests, who have no password, are not.
func (s *Service) recall(ctx context.Context) error {
	rows, err := s.pool.Query(ctx, `
		SELECT user_id, last_seen_ip FROM devices JOIN accounts USING (user_id)
		WHERE NOT guest ORDER BY last_seen_ts DESC LIMIT $1`, maxRecalled)
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
