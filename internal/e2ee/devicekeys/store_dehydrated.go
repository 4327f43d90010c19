package devicekeys

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/event"
)

// loadDehydrated reads the dehydrated device of a user; nil: there is none.
func loadDehydrated(ctx context.Context, q account.Querier, userID string) (*DehydratedDevice, error) {
	d := &DehydratedDevice{}
	err := q.QueryRow(ctx, `SELECT device_id, device_data FROM dehydrated_devices WHERE user_id = $1`, userID).
		Scan(&d.ID, (*[]byte)(&d.Data))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the dehydrated device of %s: %w", userID, err)
	case !event.IsJSON(d.Data):
		return nil, fmt.Errorf("the stored data of the dehydrated device of %s is no JSON", userID)
	}
	return d, nil
}

// insertDehydrated makes a device that was added without tokens the dehydrated one of its
// user, who has no other.
func insertDehydrated(ctx context.Context, tx pgx.Tx, who device, data []byte) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO dehydrated_devices (user_id, device_id, device_data) VALUES ($1, $2, $3)`, who.UserID, who.DeviceID, data)
	if err != nil {
		return fmt.Errorf("insert the dehydrated device of %s: %w", who.UserID, err)
	}
	return nil
}

// endDehydration makes a device an ordinary one.
func endDehydration(ctx context.Context, tx pgx.Tx, who device) error {
	_, err := tx.Exec(ctx, `DELETE FROM dehydrated_devices WHERE user_id = $1 AND device_id = $2`, who.UserID, who.DeviceID)
	if err != nil {
		return fmt.Errorf("end the dehydration of a device of %s: %w", who.UserID, err)
	}
	return nil
}
