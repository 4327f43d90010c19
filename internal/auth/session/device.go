package session

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
)

const (
	// maxDevices bounds the devices of a user.
	maxDevices = 1000
	// maxDeviceText bounds a device ID, its display name and a user agent, in bytes.
	maxDeviceText = 255

	generatedDeviceIDLength = 10
)

// Device is a device as its owner sees it. LastSeenTS is in milliseconds since the
// epoch. Client-server API, GET /devices.
type Device struct {
	DeviceID    string          `json:"device_id"`
	DisplayName matrix.Nullable `json:"display_name"`
	LastSeenIP  matrix.Nullable `json:"last_seen_ip"`
	LastSeenTS  int64           `json:"last_seen_ts"`
}

// Devices lists the devices of a user, in the order of their IDs.
func (s *Service) Devices(ctx context.Context, userID string) ([]Device, error) {
	return listDevices(ctx, s.o.Pool, userID)
}

// Device returns one device of a user; M_NOT_FOUND.
// Client-server API, GET /devices/{deviceId}.
func (s *Service) Device(ctx context.Context, userID, deviceID string) (Device, error) {
	if !isText(deviceID) {
		return Device{}, errNoDevice()
	}
	return findDevice(ctx, s.o.Pool, userID, deviceID)
}

// RenameDevice sets the display name of a device; nil changes nothing, and "" removes
// the name. M_NOT_FOUND, M_INVALID_PARAM. Client-server API, PUT /devices/{deviceId}.
func (s *Service) RenameDevice(ctx context.Context, userID, deviceID string, displayName *string) error {
	if displayName == nil {
		_, err := s.Device(ctx, userID, deviceID)
		return err
	}
	if !isText(deviceID) {
		return errNoDevice()
	}
	if err := checkDisplayName(*displayName); err != nil {
		return err
	}
	err := pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		renamed, err := renameDevice(ctx, tx, userID, deviceID, *displayName)
		if err != nil || !renamed {
			return err
		}
		for _, follow := range s.onRename {
			if err := follow(ctx, tx, userID, deviceID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("rename device %s of %s: %w", deviceID, userID, err)
	}
	s.showPosted(ctx)
	return nil
}

// PutDevice sets the display name of a device for an application service that acts as the user,
// and makes the device if there is none, which it reports. M_INVALID_PARAM, M_USER_DEACTIVATED.
// Application Service API, "Creating devices".
func (s *Service) PutDevice(ctx context.Context, userID, deviceID string, displayName *string) (created bool, err error) {
	device := NewDevice{ID: deviceID}
	if displayName != nil {
		device.DisplayName = *displayName
	}
	if err := device.Check(); err != nil {
		return false, err
	}
	var revoked Revoked
	err = pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		if err := account.LockLive(ctx, tx, userID); err != nil {
			return err
		}
		session := matrix.Session{UserID: userID, DeviceID: deviceID}
		if created, err = insertDevice(ctx, tx, session, device.DisplayName, s.nowMS()); err != nil || !created {
			return err
		}
		if err := s.added(ctx, tx, userID, deviceID); err != nil {
			return err
		}
		revoked, err = s.removeSilentDevices(ctx, tx, session, maxDevices)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("make the device %s of %s: %w", deviceID, userID, err)
	}
	if !created {
		return false, s.RenameDevice(ctx, userID, deviceID, displayName)
	}
	s.Removed(ctx, revoked)
	return true, nil
}

// DeleteDevice deletes a device of the user who asks, and its tokens, after interactive
// authentication, which application services need not. To delete an unknown one is fine. M_INVALID_PARAM for a text that
// can't be the ID of a device. Client-server API, DELETE /devices/{deviceId}.
func (s *Service) DeleteDevice(ctx context.Context, session matrix.Session, deviceID string, auth json.RawMessage) error {
	if !isText(deviceID) {
		return matrix.Errorf(matrix.InvalidParam, "This is not the ID of a device")
	}
	return s.deleteDevices(ctx, "DELETE /devices/"+deviceID, session, []string{deviceID}, auth)
}

// DeleteDevices does the same for several devices.
// Client-server API, POST /delete_devices.
func (s *Service) DeleteDevices(ctx context.Context, session matrix.Session, deviceIDs []string, auth json.RawMessage) error {
	var possible []string
	for _, id := range deviceIDs {
		if isText(id) {
			possible = append(possible, id)
		}
	}
	return s.deleteDevices(ctx, "POST /delete_devices", session, possible, auth)
}

func (s *Service) deleteDevices(ctx context.Context, name string, session matrix.Session, ids []string, auth json.RawMessage) error {
	slices.Sort(ids)
	op := uia.ByPassword(name, session).About(describeDevices(ids), ids).FreeForAppServices(session)
	proof, err := s.o.Stages.Interact(ctx, op, auth)
	if err != nil {
		return err
	}
	return s.logOut(ctx, session.UserID, func(tx pgx.Tx) ([]secret.Hash, error) {
		if err := proof.Consume(ctx, tx); err != nil {
			return nil, err
		}
		return s.Remove(ctx, tx, session.UserID, ids)
	})
}

// describeDevices says that devices would be deleted, and which, unless there are many.
func describeDevices(ids []string) string {
	const named = 5
	if len(ids) > named {
		return fmt.Sprintf("Log out and delete %d of your devices", len(ids))
	}
	return "Log out and delete your device " + strings.Join(ids, ", ")
}

// Logout deletes the device of a session with all its tokens.
// Client-server API, POST /logout.
func (s *Service) Logout(ctx context.Context, session matrix.Session) error {
	return s.LogOutDevices(ctx, session.UserID, []string{session.DeviceID})
}

// LogOutDevices deletes devices of a user with their tokens, for those who may do so without asking the user.
func (s *Service) LogOutDevices(ctx context.Context, userID string, ids []string) error {
	return s.logOut(ctx, userID, func(tx pgx.Tx) ([]secret.Hash, error) { return s.Remove(ctx, tx, userID, ids) })
}

// LogoutAll deletes all devices of a user with all their tokens.
// Client-server API, POST /logout/all.
func (s *Service) LogoutAll(ctx context.Context, userID string) error {
	return s.logOut(ctx, userID, func(tx pgx.Tx) ([]secret.Hash, error) {
		return s.RemoveOthers(ctx, tx, userID, "")
	})
}

// logOut runs a removal of devices while nobody else logs in to the account.
func (s *Service) logOut(ctx context.Context, userID string, remove func(pgx.Tx) ([]secret.Hash, error)) error {
	var revoked []secret.Hash
	err := pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		if _, err := account.Lock(ctx, tx, userID); err != nil {
			return err
		}
		var err error
		revoked, err = remove(tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove devices of %s: %w", userID, err)
	}
	s.Removed(ctx, revoked)
	return nil
}

// Revoked are the access tokens of devices that are being removed, for [Service.Removed].
type Revoked = []secret.Hash

// Removed is called once the removal of devices is committed, with the access tokens that
// were theirs: it revokes those, and returns when what was posted with the removal is shown.
func (s *Service) Removed(ctx context.Context, revoked []secret.Hash) {
	s.Revoke(revoked)
	s.showPosted(ctx)
}

// NewDevice is the device that a client wants to log in with. An empty ID means a new
// one.
type NewDevice struct {
	ID, DisplayName string
	Refreshable     bool
	// AccessToken is the token that the operator has chosen for the device; "": a new one is made.
	AccessToken string
	// AccessTokenLifetime is how long its access tokens live where they can be refreshed; 0:
	// as long as those of others.
	AccessTokenLifetime time.Duration
	// OAuthClient is the client of the OAuth 2.0 API that signs the device in; "": the legacy
	// API does.
	OAuthClient string
}

// Check refuses an ID, a name or a token that is too long or can't be stored:
// M_INVALID_PARAM.
func (d NewDevice) Check() error {
	if d.ID != "" && !isText(d.ID) {
		return matrix.Errorf(matrix.InvalidParam, "A device ID must be text of at most %d bytes", maxDeviceText)
	}
	if d.AccessToken != "" && !isText(d.AccessToken) {
		return matrix.Errorf(matrix.InvalidParam, "An access token must be text of at most %d bytes", maxDeviceText)
	}
	return checkDisplayName(d.DisplayName)
}

func checkDisplayName(name string) error {
	if name != "" && !isText(name) {
		return matrix.Errorf(matrix.InvalidParam, "The name of a device must be text of at most %d bytes", maxDeviceText)
	}
	return nil
}

// isText reports whether PostgreSQL can hold the text, and whether it has a length
// that is allowed.
func isText(text string) bool {
	return text != "" && len(text) <= maxDeviceText && matrix.IsText(text)
}

// Begin logs a device in to an account that is locked. It returns the access
// tokens that are void now, for Revoke once that has been committed. The errors of the hooks
// of OnAdd.
func (s *Service) Begin(ctx context.Context, tx pgx.Tx, userID string, d NewDevice, client matrix.Client) (Credentials, []secret.Hash, error) {
	chosen := d.ID != ""
	if !chosen {
		d.ID = rand.Text()[:generatedDeviceIDLength]
	}
	session := matrix.Session{UserID: userID, DeviceID: d.ID}
	created, err := upsertDevice(ctx, tx, session, d, sightingOf(client, s.nowMS()))
	if err != nil {
		return Credentials{}, nil, err
	}
	if chosen {
		if err := s.added(ctx, tx, userID, d.ID); err != nil {
			return Credentials{}, nil, err
		}
	}
	generation := int64(1)
	var revoked []secret.Hash
	if created {
		revoked, err = s.removeSilentDevices(ctx, tx, session, maxDevices)
	} else {
		generation, revoked, err = supersedeTokens(ctx, tx, session, s.nowMS())
	}
	if err != nil {
		return Credentials{}, nil, err
	}
	tokens, err := s.issueTokens(ctx, tx, session, generation, d)
	return Credentials{UserID: userID, HomeServer: s.o.ServerName, DeviceID: d.ID, Tokens: tokens}, revoked, err
}

// AddWithoutTokens adds a device that nobody is logged in to, to an account that is locked.
// M_INVALID_PARAM where the user has a device of this ID.
func (s *Service) AddWithoutTokens(ctx context.Context, tx pgx.Tx, userID string, d NewDevice) error {
	added, err := insertDevice(ctx, tx, matrix.Session{UserID: userID, DeviceID: d.ID}, d.DisplayName, s.nowMS())
	if err == nil && !added {
		err = matrix.Errorf(matrix.InvalidParam, "You have a device with this ID")
	}
	if err == nil {
		err = s.added(ctx, tx, userID, d.ID)
	}
	return err
}

// added calls the hooks of OnAdd.
func (s *Service) added(ctx context.Context, tx pgx.Tx, userID, deviceID string) error {
	for _, follow := range s.onAdd {
		if err := follow(ctx, tx, userID, deviceID); err != nil {
			return err
		}
	}
	return nil
}

// errNoDevice returns the answer where the user has no such device.
func errNoDevice() *matrix.Error {
	return matrix.Errorf(matrix.NotFound, "You have no device with this ID")
}
