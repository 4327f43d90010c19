package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/matrix"
)

// ActAs returns the session in which an application service acts as a user, on a device if
// there is an ID of one: from memory in the usual case, as for access tokens. M_FORBIDDEN
// where there is no such user, M_USER_DEACTIVATED, M_UNKNOWN_DEVICE. Application Service API,
// "Identity assertion".
func (s *Service) ActAs(ctx context.Context, service, userID, deviceID string) (matrix.Session, error) {
	if _, _, err := matrix.ParseUserID(userID); err != nil {
		return matrix.Session{}, errNoUser()
	}
	if deviceID != "" && !isText(deviceID) {
		return matrix.Session{}, errUnknownDevice()
	}
	hash, now := actorHash(userID, deviceID), s.o.Now()
	known, version, ok := s.cache.get(hash, now)
	if !ok {
		var err error
		if known.session, err = findActor(ctx, s.o.Pool, userID, deviceID); err != nil {
			return matrix.Session{}, err
		}
		s.cache.put(hash, known, version, now)
	}
	known.session.AppService = service
	return known.session, nil
}

// actorHash returns the key of a user, or of a device, in the cache of access tokens. No token
// has it: they hold no NUL.
func actorHash(userID, deviceID string) secret.Hash {
	return secret.HashOf("actor\x00" + userID + "\x00" + deviceID)
}

// actorHashes returns the keys of devices that are being removed, and that of their user, who
// may be ending with them.
func actorHashes(userID string, deviceIDs []string) []secret.Hash {
	hashes := []secret.Hash{actorHash(userID, "")}
	for _, id := range deviceIDs {
		hashes = append(hashes, actorHash(userID, id))
	}
	return hashes
}

func findActor(ctx context.Context, q account.Querier, userID, deviceID string) (matrix.Session, error) {
	found := matrix.Session{UserID: userID, DeviceID: deviceID}
	var deactivated, hasDevice bool
	err := q.QueryRow(ctx, `
		SELECT admin, guest, locked_at IS NOT NULL, suspended_at IS NOT NULL, deactivated_at IS NOT NULL,
			$2 = '' OR EXISTS (SELECT FROM devices d WHERE d.user_id = $1 AND d.device_id = $2)
		FROM accounts WHERE user_id = $1`, userID, deviceID).Scan(&found.Admin, &found.Guest, &found.Locked, &found.Suspended, &deactivated, &hasDevice)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return found, errNoUser()
	case err != nil:
		return found, fmt.Errorf("find the user %s: %w", userID, err)
	case deactivated:
		return found, account.ErrDeactivated()
	case !hasDevice:
		return found, errUnknownDevice()
	}
	return found, nil
}

func errNoUser() *matrix.Error {
	return matrix.Errorf(matrix.Forbidden, "The application service has not registered this user")
}

func errUnknownDevice() *matrix.Error {
	return matrix.Errorf(matrix.UnknownDevice, "The user has no device with this ID")
}
