package devicekeys

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/journal"
)

// Signed is the value of the journal entry of signatures of a user's user-signing key on the
// master keys of others. It concerns the user alone, whose devices fetch the keys of the
// others anew.
type Signed struct {
	By      string   `json:"by"`
	UserIDs []string `json:"user_ids"`
}

// signedTable is the table of the entries, and their kind in the outbox.
const signedTable = "signed_users"

// postSigned puts into the outbox, in the transaction that stores the signatures, that a user
// has signed the master keys of others. After its commit the caller waits for changeShown.
func postSigned(ctx context.Context, tx pgx.Tx, by string, userIDs []string) error {
	payload, err := json.Marshal(Signed{By: by, UserIDs: userIDs})
	if err == nil {
		_, err = journal.Post(ctx, tx, signedTable, []journal.Topic{{User: by}}, payload)
	}
	if err != nil {
		return fmt.Errorf("announce the signatures of %s: %w", by, err)
	}
	return nil
}

func decodeSigned(payload []byte) (any, error) {
	signed := &Signed{}
	err := json.Unmarshal(payload, signed)
	return signed, err
}

// queueSigned notes where users have signed the keys of others last.
func queueSigned(b *pgx.Batch, entries []*journal.Entry) error {
	type pair struct{ by, user string }
	last := map[pair]journal.Position{}
	for _, e := range entries {
		signed := e.Value.(*Signed)
		for _, userID := range signed.UserIDs {
			last[pair{signed.By, userID}] = e.Position
		}
	}
	by, user, position := make([]string, 0, len(last)), make([]string, 0, len(last)), make([]journal.Position, 0, len(last))
	for p, at := range last {
		by, user, position = append(by, p.by), append(user, p.user), append(position, at)
	}
	b.Queue(`
		INSERT INTO signed_users (signer_id, user_id, position) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
		ON CONFLICT (signer_id, user_id) DO UPDATE SET position = excluded.position`, by, user, position)
	return nil
}

// readSigned reads the entries that other processes have written in (after, upTo].
func (s *Service) readSigned(ctx context.Context, conn *pgx.Conn, after, upTo journal.Position, most int) ([]*journal.Entry, error) {
	rows, _ := conn.Query(ctx, `
		SELECT signer_id, array_agg(user_id), position FROM signed_users
		WHERE position > $1 AND position <= $2 GROUP BY signer_id, position`, after, upTo)
	return journal.CollectEntries(rows, most, func(row pgx.CollectableRow) (*journal.Entry, error) {
		signed := &Signed{}
		e := &journal.Entry{Table: s.signed, Value: signed}
		err := row.Scan(&signed.By, &signed.UserIDs, &e.Position)
		e.Topics, e.Size = []journal.Topic{{User: signed.By}}, len(signed.By)
		for _, userID := range signed.UserIDs {
			e.Size += len(userID)
		}
		return e, err
	})
}

// forgetSigned deletes where a user has signed the keys of others.
func forgetSigned(ctx context.Context, tx pgx.Tx, by string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM signed_users WHERE signer_id = $1`, by); err != nil {
		return fmt.Errorf("forget whose keys %s has signed: %w", by, err)
	}
	return nil
}
