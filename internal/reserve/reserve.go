// Package reserve bounds the memory of what requests read from the database, and of
// the answers made of it.
//
// A request has an [Account]. Code that reads rows counts their bytes there as they
// come: small amounts are free, and for more the account reserves memory of a [Memory],
// which has a bound in total and a share for each caller. If there is none at the
// moment, reading is broken off, waits for its turn without holding a connection, and
// begins again: see [Read]. All is released when the answer has been sent.
//
// That alone would refuse large answers. So there are no large reads: code that reads
// lists that may be long asks [Bytes] how much one read may bring, cuts the list there,
// and returns where it goes on, or writes the first part before reading the next:
// [Parts].
package reserve

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/gauge"
)

const (
	// pocket is how much a request may hold without a reservation: a few pages of a
	// chat. There are only as many as requests with a connection to the database at the
	// same time.
	pocket = 64 << 10
	// step is the size of a reservation.
	step = 256 << 10
	// patience is how long a request waits for its turn.
	patience = 10 * time.Second
)

// Memory is the memory that all requests share. It may be used concurrently.
type Memory struct {
	gauge *gauge.Gauge
	each  int64
}

// New makes a Memory of so many bytes, of which one caller may have a quarter. refused
// counts requests that waited in vain; nil: they are not counted.
func New(total int64, refused prometheus.Counter) *Memory {
	each := max(1, total/4)
	return &Memory{each: each, gauge: gauge.New(gauge.Options{Total: total, Each: each, Refused: refused})}
}

// Held returns how many bytes are reserved at the moment.
func (m *Memory) Held() int64 { return m.gauge.Held() }

// Account is the memory that one request holds. It may be used concurrently.
type Account struct {
	memory *Memory
	caller string

	mu         sync.Mutex
	used, held int64
}

// Open makes the account of a request, until Close.
func (m *Memory) Open(caller string) *Account { return &Account{memory: m, caller: caller} }

// Close releases all that the account holds.
func (a *Account) Close() { a.shrink(0) }

// Settle sets the bytes in use to n, as when the rows have become an answer, and
// releases the rest; it waits for what is missing. Errors of [Read].
func (a *Account) Settle(ctx context.Context, n int64) error {
	a.shrink(n)
	if n <= pocket {
		return nil
	}
	return a.await(ctx, 0)
}

// shrink sets the bytes in use, and releases those reserved beyond.
func (a *Account) shrink(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = n
	if n <= pocket {
		n = 0
	}
	if a.held > n {
		a.memory.gauge.Leave(a.caller, a.held-n)
		a.held = n
	}
}

// grow counts n bytes more, and reports whether there is room for them now. Memory is
// taken in steps, so that it is not asked for with each row.
func (a *Account) grow(n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	need := min(a.used+n, a.memory.each)
	if a.used+n > pocket && need > a.held {
		most := min((need+step-1)/step*step, a.memory.each)
		switch {
		case a.memory.gauge.TakeFree(a.caller, most-a.held):
			a.held = most
		case a.memory.gauge.TakeFree(a.caller, need-a.held):
			a.held = need
		default:
			return false
		}
	}
	a.used += n
	return true
}

// await waits until there is room for n bytes more, which are not counted yet.
func (a *Account) await(ctx context.Context, n int64) error {
	a.mu.Lock()
	missing := min(a.used+n, a.memory.each) - a.held
	a.mu.Unlock()
	if missing <= 0 {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	counted, err := a.memory.gauge.Enter(short, a.caller, missing)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return a.memory.gauge.Overloaded()
	}
	if err != nil {
		return err //nolint:wrapcheck // it is the refusal itself
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held += counted
	return nil
}

// AccountKey is the key of the account in contexts, for a context that knows it anyway.
type AccountKey struct{}

// With returns a context whose reads count for an account.
func With(ctx context.Context, a *Account) context.Context {
	return context.WithValue(ctx, AccountKey{}, a)
}

func of(ctx context.Context) *Account {
	a, _ := ctx.Value(AccountKey{}).(*Account)
	return a
}

// Used returns how many bytes the request of a context has in use.
func Used(ctx context.Context) int64 {
	a := of(ctx)
	if a == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}

// Drop subtracts n bytes, which are in use no more, from the account of a context. The
// reservation stays, for the next read.
func Drop(ctx context.Context, n int64) {
	if a := of(ctx); a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.used -= n
	}
}

// Ahead waits until the request of a context has room for n bytes more than it has in
// use, so that it need not wait once it has begun to answer. Errors of [Read].
func Ahead(ctx context.Context, n int64) error {
	if a := of(ctx); a != nil {
		return a.await(ctx, n)
	}
	return nil
}

const (
	// leastBytes and mostBytes bound the bytes of one read, whatever the memory is.
	leastBytes = 256 << 10
	mostBytes  = 4 << 20
)

// Bytes returns how many bytes of rows one read of a longer list may bring: less than a
// caller's share, since they are held in several forms.
func Bytes(ctx context.Context) int64 {
	a := of(ctx)
	if a == nil {
		return mostBytes
	}
	return min(max(a.memory.each/8, leastBytes), mostBytes)
}

// errNoRoom breaks a read off.
var errNoRoom = errors.New("no memory for what is read")

// Counter counts the bytes of one read.
type Counter struct {
	account *Account
	counted int64
}

// Add counts n bytes that are about to be held; a negative number releases them. On an
// error the read must end and return it.
func (c *Counter) Add(n int) error {
	if c.account == nil {
		return nil
	}
	if !c.account.grow(int64(n)) {
		return errNoRoom
	}
	c.counted += int64(n)
	return nil
}

// drop subtracts all that a read has counted.
func (c *Counter) drop() {
	if c.account != nil {
		c.account.mu.Lock()
		c.account.used -= c.counted
		c.account.mu.Unlock()
		c.counted = 0
	}
}

// Read calls a function that reads rows and counts them. If there is no room for them,
// it drops what was counted, waits for its turn, and calls the function once more. The
// count of a read that fails in the end is dropped. Reads without an account, for the
// server itself, are not bounded. 503 M_UNKNOWN and M_LIMIT_EXCEEDED, with RetryAfter,
// if the turn does not come in time.
func Read(ctx context.Context, read func(c *Counter) error) error {
	c := &Counter{account: of(ctx)}
	err := read(c)
	for tries := 0; errors.Is(err, errNoRoom) && tries < maxTries; tries++ {
		want := 2*c.counted + step<<tries
		c.drop()
		if err := c.account.await(ctx, want); err != nil {
			return err
		}
		err = read(c)
	}
	if err != nil {
		c.drop()
	}
	if errors.Is(err, errNoRoom) {
		return c.account.memory.gauge.Overloaded()
	}
	return err
}

// maxTries is how often a read begins again: each time there is room for twice as much.
const maxTries = 8
