package keybackup

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres"
)

const (
	// maxBackups bounds the backups of a user, and apart from these the deleted ones that
	// are remembered.
	maxBackups = 100
	// maxAlgorithmBytes bounds the name of an algorithm.
	maxAlgorithmBytes = 255
)

// Service keeps backups. Its methods may be called concurrently. They serve the user whom
// the caller has authenticated.
type Service struct {
	pool   *pgxpool.Pool
	damage *postgres.Damage
}

// New makes the service on a migrated database. Keys that cannot be read any more are
// reported to damage.
func New(pool *pgxpool.Pool, damage *postgres.Damage) *Service {
	return &Service{pool: pool, damage: damage}
}

// Backup is what clients learn of a backup: client-server API, GET /room_keys/version.
type Backup struct {
	Algorithm string          `json:"algorithm"`
	AuthData  json.RawMessage `json:"auth_data"`
	Count     int64           `json:"count"`
	ETag      string          `json:"etag"`
	Version   string          `json:"version"`

	id int64
}

// BackupRequest is the body of POST /room_keys/version and of PUT
// /room_keys/version/{version}. Nil is what was not sent.
type BackupRequest struct {
	Algorithm *string         `json:"algorithm"`
	AuthData  json.RawMessage `json:"auth_data"`
	Version   *string         `json:"version"`
}

// check refuses a request that lacks something, or has what cannot be, and brings the
// auth_data into canonical form. The algorithm is not looked at: what it means is
// between the clients of the user.
func (q *BackupRequest) check() error {
	switch {
	case q.Algorithm == nil:
		return matrix.Errorf(matrix.MissingParam, "algorithm is missing")
	case matrix.IsNull(q.AuthData):
		return matrix.Errorf(matrix.MissingParam, "auth_data is missing")
	case *q.Algorithm == "" || len(*q.Algorithm) > maxAlgorithmBytes:
		return matrix.Errorf(matrix.InvalidParam, "algorithm has 1 to %d bytes", maxAlgorithmBytes)
	}
	var err error
	q.AuthData, err = object("auth_data", q.AuthData)
	return err
}

// object returns a JSON object in canonical form. M_BAD_JSON for other values; the errors of
// [event.Canonical].
func object(name string, raw json.RawMessage) (json.RawMessage, error) {
	if raw[0] != '{' {
		return nil, matrix.Errorf(matrix.BadJSON, "%s must be an object", name)
	}
	return event.Canonical(raw, false)
}

// Create makes a new, empty backup, the user's newest one, and returns its version.
// M_MISSING_PARAM, M_BAD_JSON, M_INVALID_PARAM; M_TOO_LARGE for auth_data of more than
// 64 KiB, and for a user with too many backups.
// Client-server API, POST /room_keys/version.
func (s *Service) Create(ctx context.Context, userID string, q BackupRequest) (version string, err error) {
	if err := q.check(); err != nil {
		return "", err
	}
	created, err := s.insertBackup(ctx, userID, *q.Algorithm, q.AuthData)
	return strconv.FormatInt(created, 10), err
}

// Newest returns the user's newest backup; M_NOT_FOUND where there is none.
// Client-server API, GET /room_keys/version.
func (s *Service) Newest(ctx context.Context, userID string) (*Backup, error) {
	return s.findBackup(ctx, userID, newest)
}

// Backup returns the backup of a version; M_NOT_FOUND where there is none.
// Client-server API, GET /room_keys/version/{version}.
func (s *Service) Backup(ctx context.Context, userID, version string) (*Backup, error) {
	number, err := parseVersion(version)
	if err != nil {
		return nil, err
	}
	return s.findBackup(ctx, userID, number)
}

// Update replaces the auth_data of a backup. M_INVALID_PARAM for another algorithm than
// that of the backup, and for a version in the request that is not that of the path;
// M_NOT_FOUND; otherwise the errors of [Service.Create].
// Client-server API, PUT /room_keys/version/{version}.
func (s *Service) Update(ctx context.Context, userID, version string, q BackupRequest) error {
	if err := q.check(); err != nil {
		return err
	}
	if q.Version != nil && *q.Version != version {
		return matrix.Errorf(matrix.InvalidParam, "version must be that of the path, %s", version)
	}
	number, err := parseVersion(version)
	if err != nil {
		return err
	}
	updated, err := s.updateBackup(ctx, userID, number, *q.Algorithm, q.AuthData)
	if err != nil || updated {
		return err
	}
	if _, err := s.findBackup(ctx, userID, number); err != nil {
		return err
	}
	return matrix.Errorf(matrix.InvalidParam, "algorithm must be that of the backup")
}

// Delete deletes a backup with all of its keys. It may have been deleted before;
// M_NOT_FOUND if there never was one of the version.
// Client-server API, DELETE /room_keys/version/{version}.
func (s *Service) Delete(ctx context.Context, userID, version string) error {
	number, err := parseVersion(version)
	if err != nil {
		return err
	}
	return s.deleteBackup(ctx, userID, number)
}

// RemoveAll deletes all backups of a user, whose account is deactivated.
func (s *Service) RemoveAll(ctx context.Context, userID string) error {
	return s.deleteAll(ctx, userID)
}

// errUnknownVersion is for a version of which there is no backup. What clients make of it
// is that the backup was deleted.
func errUnknownVersion() error {
	return matrix.Errorf(matrix.NotFound, "there is no backup of this version")
}

// parseVersion returns the number that is the version of a backup. M_NOT_FOUND for what is no
// version: to clients it is an opaque text.
func parseVersion(version string) (int64, error) {
	number, err := strconv.ParseInt(version, 10, 64)
	if err != nil || number < 1 || strconv.FormatInt(number, 10) != version {
		return 0, errUnknownVersion()
	}
	return number, nil
}
