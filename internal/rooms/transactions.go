package rooms

import (
	"homeserver/internal/journal"
	"homeserver/internal/kept"

	lru "github.com/hashicorp/golang-lru/v2"
)

// recentTransactions is how many transactions are usually remembered in memory. Older
// ones are found by the unique index, which is slower but as sure.
const recentTransactions = 100_000

// transaction is the scope of a transaction ID: one device and one path.
// Client-server API, "Transaction identifiers".
type transaction struct {
	room                               journal.RoomNID
	user, device, txn, typ, redactedID string
}

// sent is what became of a request: an event that is queued, or there already.
type sent struct {
	eventID string
	pending *journal.Pending // nil: nothing to wait for
}

func (s *sent) wait() error {
	if s.pending == nil {
		return nil
	}
	return s.pending.Wait()
}

// transactions answers a repeated request with what the first one did, even
// while that is still being committed.
type transactions struct {
	recent *lru.Cache[transaction, *sent]
	uses   kept.Uses
}

func newTransactions(scale kept.Scale) (*transactions, error) {
	recent, err := lru.New[transaction, *sent](scale.Of(recentTransactions))
	return &transactions{recent: recent}, err
}

func transactionOf(room journal.RoomNID, d *draft) transaction {
	return transaction{room: room, user: d.sender, device: d.device, txn: d.txn, typ: d.typ, redactedID: d.redacts()}
}

func (t *transactions) get(room journal.RoomNID, d *draft) (*sent, bool) {
	if d.txn == "" {
		return nil, false
	}
	known, ok := t.recent.Get(transactionOf(room, d))
	t.uses.Count(ok)
	return known, ok
}

func (t *transactions) put(room journal.RoomNID, d *draft, s *sent) {
	if d.txn != "" {
		t.recent.Add(transactionOf(room, d), s)
	}
}

// drop forgets what was not committed after all, unless it was sent anew.
func (t *transactions) drop(room journal.RoomNID, d *draft, failed *sent) {
	key := transactionOf(room, d)
	if now, ok := t.recent.Peek(key); ok && now == failed {
		t.recent.Remove(key)
	}
}
