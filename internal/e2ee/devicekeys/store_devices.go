package devicekeys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
)

// storedDevice is a row of device_keys: the object without its signatures, and these.
type storedDevice struct {
	keys      []byte
	signature string
	// signedBy is the self-signing key that has signed it; "": none has.
	signedBy, selfSignature string
}

// hash returns a hash of the keys, by which they are compared with others.
func (d *storedDevice) hash() []byte {
	sum := sha256.Sum256(d.keys)
	return sum[:]
}

func (d *storedDevice) equal(other *storedDevice) bool {
	return bytes.Equal(d.keys, other.keys) && d.signature == other.signature &&
		d.signedBy == other.signedBy && d.selfSignature == other.selfSignature
}

// signingKey returns the key by which the device signs. It returns an error if the row
// cannot be read.
func (d *storedDevice) signingKey(who device) (ed25519.PublicKey, error) {
	name := event.AppendString(nil, ed25519Prefix+who.DeviceID)
	text, _ := event.StringField(event.Field(d.keys, "keys"), string(name[1:len(name)-1]))
	key, ok := decodeBase64(text, keyBytes)
	if !ok {
		return nil, fmt.Errorf("the stored keys of a device of %s have no signing key", who.UserID)
	}
	return key, nil
}

const selectDevice = `
	SELECT keys, signature, coalesce(signed_by, ''), coalesce(self_signature, '')
	FROM device_keys WHERE user_id = $1 AND device_id = $2`

// loadDevice reads the keys of a device; nil: it has none.
func loadDevice(ctx context.Context, q account.Querier, who device) (*storedDevice, error) {
	d := &storedDevice{}
	err := q.QueryRow(ctx, selectDevice, who.UserID, who.DeviceID).Scan(&d.keys, &d.signature, &d.signedBy, &d.selfSignature)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the keys of a device of %s: %w", who.UserID, err)
	}
	return d, nil
}

// lockDevice keeps others from changing keys of a device until the end of the transaction,
// and reads what there is; nil: there are none yet. M_UNKNOWN_TOKEN where the device is gone.
func lockDevice(ctx context.Context, tx pgx.Tx, who device) (*storedDevice, error) {
	tag, err := tx.Exec(ctx, `SELECT FROM devices WHERE user_id = $1 AND device_id = $2 FOR NO KEY UPDATE`, who.UserID, who.DeviceID)
	if err != nil {
		return nil, fmt.Errorf("lock a device of %s: %w", who.UserID, err)
	}
	if tag.RowsAffected() == 0 {
		return nil, matrix.Errorf(matrix.UnknownToken, "this device has been logged out")
	}
	return loadDevice(ctx, tx, who)
}

func upsertDevice(ctx context.Context, tx pgx.Tx, who device, d *storedDevice) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO device_keys (user_id, device_id, keys, signature, signed_by, self_signature)
		VALUES ($1, $2, $3, $4, nullif($5, ''), nullif($6, ''))
		ON CONFLICT (user_id, device_id) DO UPDATE SET keys = excluded.keys, signature = excluded.signature,
			signed_by = excluded.signed_by, self_signature = excluded.self_signature`,
		who.UserID, who.DeviceID, string(d.keys), d.signature, d.signedBy, d.selfSignature)
	if err != nil {
		return fmt.Errorf("store the keys of a device of %s: %w", who.UserID, err)
	}
	return nil
}

// forgetSignedBy deletes what a device has signed with a key that it has replaced.
func forgetSignedBy(ctx context.Context, tx pgx.Tx, who device) error {
	for _, sql := range []string{
		`DELETE FROM one_time_keys WHERE user_id = $1 AND device_id = $2`,
		`DELETE FROM fallback_keys WHERE user_id = $1 AND device_id = $2`,
		`DELETE FROM master_key_signatures WHERE signer_id = $1 AND device_id = $2`,
	} {
		if _, err := tx.Exec(ctx, sql, who.UserID, who.DeviceID); err != nil {
			return fmt.Errorf("delete what a device of %s has signed: %w", who.UserID, err)
		}
	}
	return nil
}

// loadDevices reads the keys of devices of a user, by device ID, and counts them as memory.
// Those that have none are missing.
func loadDevices(ctx context.Context, q account.Querier, userID string, ids []string) (map[string]*storedDevice, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	devices := map[string]*storedDevice{}
	_, err := reserve.Collect(ctx, func() pgx.Rows {
		rows, _ := q.Query(ctx, `
			SELECT device_id, keys, signature, coalesce(signed_by, ''), coalesce(self_signature, '')
			FROM device_keys WHERE user_id = $1 AND device_id = ANY ($2)`, userID, ids)
		return rows
	}, func(row pgx.CollectableRow) (*storedDevice, error) {
		d, id := &storedDevice{}, ""
		err := row.Scan(&id, &d.keys, &d.signature, &d.signedBy, &d.selfSignature)
		devices[id] = d
		return d, err
	}, func(d *storedDevice) int { return len(d.keys) + besideDevice })
	if err != nil {
		return nil, fmt.Errorf("read the keys of devices of %s: %w", userID, err)
	}
	return devices, nil
}

// signDevices stores signatures of the self-signing key of a user on devices, and returns
// how many of them are new.
func signDevices(ctx context.Context, tx pgx.Tx, userID, by string, list []deviceSignature) (int, error) {
	var ids, values []string
	var keys [][]byte
	for _, one := range list {
		ids, values, keys = append(ids, one.DeviceID), append(values, one.Signature), append(keys, one.Keys)
	}
	tag, err := tx.Exec(ctx, `
		UPDATE device_keys d SET signed_by = $2, self_signature = n.signature
		FROM unnest($3::text[], $4::text[], $5::bytea[]) n (device_id, signature, keys)
		WHERE d.user_id = $1 AND d.device_id = n.device_id AND sha256(convert_to(d.keys, 'UTF8')) = n.keys
			AND (d.signed_by IS DISTINCT FROM $2 OR d.self_signature IS DISTINCT FROM n.signature)`,
		userID, by, ids, values, keys)
	if err != nil {
		return 0, fmt.Errorf("store signatures on devices: %w", err)
	}
	return int(tag.RowsAffected()), nil
}
