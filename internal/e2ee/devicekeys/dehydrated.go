package devicekeys

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/session"
	"homeserver/internal/event"
	"homeserver/internal/matrix"
)

// DehydrateRequest is the body of PUT /dehydrated_device. Nil is what was not sent.
type DehydrateRequest struct {
	UploadRequest
	DeviceID    *string         `json:"device_id"`
	DeviceData  json.RawMessage `json:"device_data"`
	DisplayName *string         `json:"initial_device_display_name"`
}

// DehydratedDevice is a device that nobody is logged in to: others send it keys, and the next
// device of the user takes them over. Its private keys are in Data, encrypted.
type DehydratedDevice struct {
	ID   string          `json:"device_id"`
	Data json.RawMessage `json:"device_data"`
}

// Dehydrate makes a dehydrated device with its keys in place of the one that the user has, if
// any. M_MISSING_PARAM without device_id, device_data or device_keys; M_INVALID_PARAM for the
// ID of another device; M_TOO_LARGE for device_data of more than 64 KiB; otherwise the errors
// of [Service.Upload]. MSC3814, PUT /dehydrated_device.
func (s *Service) Dehydrate(ctx context.Context, userID string, q DehydrateRequest) error {
	switch {
	case q.DeviceID == nil:
		return matrix.Errorf(matrix.MissingParam, "device_id is missing")
	case *q.DeviceID == "":
		return matrix.Errorf(matrix.InvalidParam, "device_id must not be empty")
	case matrix.IsNull(q.DeviceData):
		return matrix.Errorf(matrix.MissingParam, "device_data is missing")
	case matrix.IsNull(q.DeviceKeys):
		return matrix.Errorf(matrix.MissingParam, "device_keys is missing")
	case q.DeviceData[0] != '{':
		return matrix.Errorf(matrix.BadJSON, "device_data must be an object")
	}
	d := session.NewDevice{ID: *q.DeviceID}
	if q.DisplayName != nil {
		d.DisplayName = *q.DisplayName
	}
	if err := d.Check(); err != nil {
		return err
	}
	data, err := event.Canonical(q.DeviceData, false)
	if err != nil {
		return err
	}
	u, err := q.parse(device{userID, d.ID})
	if err != nil {
		return err
	}
	if err := s.checkSignatures(ctx, u); err != nil {
		return err
	}
	return s.storeDehydrated(ctx, u, d, data)
}

// storeDehydrated replaces the dehydrated device of a user in one transaction.
func (s *Service) storeDehydrated(ctx context.Context, u *upload, d session.NewDevice, data []byte) error {
	var revoked session.Revoked
	defer s.forgetCounts(u.who.UserID)
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
		if err = account.LockLive(ctx, tx, u.who.UserID); err != nil {
			return err
		}
		if _, revoked, err = s.removeDehydrated(ctx, tx, u.who.UserID); err != nil {
			return err
		}
		if err := s.o.Sessions.AddWithoutTokens(ctx, tx, u.who.UserID, d); err != nil {
			return err
		}
		if err := insertDehydrated(ctx, tx, u.who, data); err != nil {
			return err
		}
		if _, err := s.storeDevice(ctx, tx, u, nil); err != nil {
			return err
		}
		return s.storeOthers(ctx, tx, u)
	})
	if err != nil {
		return fmt.Errorf("store the dehydrated device of %s: %w", u.who.UserID, err)
	}
	s.o.Sessions.Removed(ctx, revoked)
	return s.changeShown(ctx)
}

// removeDehydrated removes the dehydrated device of a user whose account is locked, and
// returns its ID; "": there is none. Once that is committed, the tokens are to be given to
// [session.Service.Removed].
func (s *Service) removeDehydrated(ctx context.Context, tx pgx.Tx, userID string) (deviceID string, revoked session.Revoked, err error) {
	d, err := loadDehydrated(ctx, tx, userID)
	if err != nil || d == nil {
		return "", nil, err
	}
	revoked, err = s.o.Sessions.Remove(ctx, tx, userID, []string{d.ID})
	return d.ID, revoked, err
}

// Dehydrated returns the dehydrated device of a user; M_NOT_FOUND where there is none.
// MSC3814, GET /dehydrated_device.
func (s *Service) Dehydrated(ctx context.Context, userID string) (*DehydratedDevice, error) {
	d, err := loadDehydrated(ctx, s.pool, userID)
	if err == nil && d == nil {
		err = errNotDehydrated()
	}
	return d, err
}

// CheckDehydrated refuses a device that is not the dehydrated one of the user: M_FORBIDDEN.
func (s *Service) CheckDehydrated(ctx context.Context, userID, deviceID string) error {
	d, err := loadDehydrated(ctx, s.pool, userID)
	if err == nil && (d == nil || d.ID != deviceID) {
		err = matrix.Errorf(matrix.Forbidden, "this is not your dehydrated device")
	}
	return err
}

// DeleteDehydrated deletes the dehydrated device of a user, with its keys and messages, and
// returns its ID; M_NOT_FOUND where there is none. MSC3814, DELETE /dehydrated_device.
func (s *Service) DeleteDehydrated(ctx context.Context, userID string) (deviceID string, err error) {
	var revoked session.Revoked
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
		if _, err = account.Lock(ctx, tx, userID); err != nil {
			return err
		}
		if deviceID, revoked, err = s.removeDehydrated(ctx, tx, userID); err == nil && deviceID == "" {
			err = errNotDehydrated()
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("delete the dehydrated device of %s: %w", userID, err)
	}
	s.o.Sessions.Removed(ctx, revoked)
	return deviceID, nil
}

// errNotDehydrated returns the error for a user without a dehydrated device: M_NOT_FOUND, and
// not M_UNRECOGNIZED, by which a client would learn that the server has no dehydrated devices.
func errNotDehydrated() error {
	return matrix.Errorf(matrix.NotFound, "there is no dehydrated device")
}
