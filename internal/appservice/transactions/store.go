package transactions

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"homeserver/internal/doctor"
	"homeserver/internal/journal"
)

// forgetOthers forgets how far services have come that there are no more.
func (s *Service) forgetOthers(ctx context.Context) error {
	if _, err := s.o.Pool.Exec(ctx, `DELETE FROM app_service_progress WHERE service_id <> ALL($1)`, s.ids()); err != nil {
		return fmt.Errorf("forget application services that are not registered any more: %w", err)
	}
	return nil
}

func (s *Service) ids() []string {
	ids := make([]string, len(s.lanes))
	for i, l := range s.lanes {
		ids[i] = l.r.ID
	}
	return ids
}

// claim makes this process the one whose writes count, and reads how far all services have
// come. New ones begin now.
func (s *Service) claim(ctx context.Context, leader string) (map[string]progress, error) {
	rows, _ := s.o.Pool.Query(ctx, `
		INSERT INTO app_service_progress AS p (service_id, leader, position)
		SELECT n.id, $2, j.position FROM unnest($1::text[]) AS n(id), journal j
		ON CONFLICT (service_id) DO UPDATE SET leader = excluded.leader
		RETURNING service_id, p.position, attempts, failing_since, due, coalesce(txn_id, ''), coalesce(txn_up_to, 0), txn_body, txn_events`,
		s.ids(), leader)
	found := map[string]progress{}
	var id, txnID string
	var at, upTo journal.Position
	var attempts, events int
	var since, due *time.Time
	var body []byte
	_, err := pgx.ForEachRow(rows, []any{&id, &at, &attempts, &since, &due, &txnID, &upTo, &body, &events}, func() error {
		p := progress{position: at, attempts: attempts, failingSince: since, due: due}
		if txnID != "" {
			p.pending = &transaction{id: txnID, upTo: upTo, body: body, events: events, restored: true}
		}
		found[id] = p
		since, due, body = nil, nil, nil
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read how far application services have come: %w", err)
	}
	return found, nil
}

// store stores a transaction before it is sent, durably, and that all before it is
// acknowledged.
func (l *lane) store(ctx context.Context, t *transaction) error {
	tag, err := l.s.o.Pool.Exec(ctx, `
		UPDATE app_service_progress SET position = $3, txn_id = $4, txn_up_to = $5, txn_body = $6, txn_events = $7,
			attempts = 0, failing_since = NULL, due = NULL
		WHERE service_id = $1 AND leader = $2`,
		l.r.ID, l.leader, l.position, t.id, t.upTo, t.body, t.events)
	switch {
	case err != nil:
		return fmt.Errorf("store a transaction for the application service %s: %w", l.r.ID, err)
	case tag.RowsAffected() == 0:
		return errDeposed
	}
	l.acknowledged = false
	return nil
}

// save stores how the service stands, but for the transaction on its way, which is stored
// already. If that is lost in a crash, the service is sent the same again: the commit does
// not wait for the disk.
func (l *lane) save(ctx context.Context) error {
	var affected int64
	err := pgx.BeginFunc(ctx, l.s.o.Pool, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(`SELECT set_config('synchronous_commit', 'off', true)`)
		b.Queue(`
			UPDATE app_service_progress SET position = $3, attempts = $5, failing_since = $6, due = $7,
				txn_id = CASE WHEN $4 THEN txn_id END, txn_up_to = CASE WHEN $4 THEN txn_up_to END,
				txn_body = CASE WHEN $4 THEN txn_body END, txn_events = CASE WHEN $4 THEN txn_events ELSE 0 END
			WHERE service_id = $1 AND leader = $2`,
			l.r.ID, l.leader, l.position, l.pending != nil, l.attempts, l.failingSince, l.due).
			Exec(func(tag pgconn.CommandTag) error { affected = tag.RowsAffected(); return nil })
		return tx.SendBatch(ctx, b).Close()
	})
	switch {
	case err != nil:
		return fmt.Errorf("store how far the application service %s has come: %w", l.r.ID, err)
	case affected == 0:
		return errDeposed
	}
	l.saved, l.savedAt, l.acknowledged = l.position, l.s.now(), false
	return nil
}

// Checks returns the checks of how far services have come, for the operator's doctor.
func (*Service) Checks() []doctor.Check {
	const wrong = ` WHERE p.position > j.position OR p.txn_up_to > j.position OR p.position < 0`
	return []doctor.Check{doctor.Rows{
		Title: "Application services: how far they have come",
		Find: `
			SELECT format('the application service %s is at position %s, its transaction at %s, and the journal at %s',
				p.service_id, p.position, coalesce(p.txn_up_to, p.position), j.position)
			FROM app_service_progress p, journal j` + wrong,
		Repair: []string{`
			UPDATE app_service_progress p SET position = greatest(0, least(p.position, j.position)), txn_id = NULL, txn_up_to = NULL,
				txn_body = NULL, txn_events = 0 FROM journal j` + wrong},
	}.Check()}
}
