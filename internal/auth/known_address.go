package auth

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"homeserver/internal/cache"
	"homeserver/internal/httpapi/ratelimit"
)

const (
	// maxRecalled is how many devices are asked for their addresses after a start.
	maxRecalled = 10_000
	// maxFamiliarOfUser is how many addresses are remembered of one user: a user with a
	// network full of them must not displace those of all others.
	maxFamiliarOfUser = 16
)

// familiar has the addresses from which users were logged in, with their accounts;
// guests don't count, since anybody can be one. An address is stored by the key by
// which it is counted: see [ratelimit.AddressKey].
type familiar struct {
	seed maphash.Seed
	mu   sync.Mutex // held while something is added
	// known has, by their numbers, each address, each address with an account, and each
	// account with its addresses, the latest last.
	known *cache.LRU[uint64, []place]
}

// place is an address of an account, by the numbers of the address and of both together.
type place struct{ address, both uint64 }

func newFamiliar(share int) *familiar {
	weigh := func(_ uint64, places []place) int { return 16 * cap(places) }
	return &familiar{seed: maphash.MakeSeed(), known: cache.NewLRU(cache.Options[uint64, []place]{Share: share, Weigh: weigh})}
}

// number returns the number of an address, an account, or both together; "" leaves one
// out.
func (f *familiar) number(caller, userID string) uint64 {
	return maphash.Comparable(f.seed, [2]string{caller, userID})
}

// add notes that somebody was logged in to an account from an address. Other callers
// need no note: a user, and the server itself.
func (f *familiar) add(caller, userID string) {
	if alwaysFamiliar(caller) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	account, added := f.number("", userID), place{f.number(caller, ""), f.number(caller, userID)}
	before, _ := f.known.Get(account)
	places := slices.DeleteFunc(slices.Clone(before), func(p place) bool { return p == added })
	if len(places) == maxFamiliarOfUser {
		f.known.Remove(places[0].address)
		f.known.Remove(places[0].both)
		places = places[1:]
	}
	f.known.Put(account, append(places, added))
	f.known.Put(added.address, nil)
	f.known.Put(added.both, nil)
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
