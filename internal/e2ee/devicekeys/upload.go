package devicekeys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/matrix"
)

// UploadRequest is the body of POST /keys/upload. Nil is what was not sent.
type UploadRequest struct {
	DeviceKeys   json.RawMessage            `json:"device_keys"`
	OneTimeKeys  map[string]json.RawMessage `json:"one_time_keys"`
	FallbackKeys map[string]json.RawMessage `json:"fallback_keys"`
	// ProposedFallbackKeys are those by the name that they had as a proposal.
	ProposedFallbackKeys map[string]json.RawMessage `json:"org.matrix.msc2732.fallback_keys"`
}

// upload is a request that was checked as far as it can be without the database.
type upload struct {
	who      device
	keys     *deviceKeys // nil: they stay as they are
	oneTime  []*oneTimeKey
	fallback []*oneTimeKey
	// by are the keys of the device as they were stored when the signatures of the others
	// were checked with them; nil: those of the request were taken.
	by []byte
}

// Upload stores keys of the device of the session, and returns how many one-time keys it
// has now. M_MISSING_PARAM, M_BAD_JSON, M_INVALID_PARAM, M_TOO_LARGE and
// M_INVALID_SIGNATURE for what cannot be; M_UNKNOWN_TOKEN if the device is gone meanwhile.
// Client-server API, POST /keys/upload.
func (s *Service) Upload(ctx context.Context, who matrix.Session, q UploadRequest) (UploadAnswer, error) {
	if who.DeviceID == "" {
		return UploadAnswer{}, matrix.Errorf(matrix.MissingParam, "keys are those of a device: an application service names it by device_id in the query")
	}
	u, err := q.parse(device{who.UserID, who.DeviceID})
	if err != nil {
		return UploadAnswer{}, err
	}
	if err := s.checkSignatures(ctx, u); err != nil {
		return UploadAnswer{}, err
	}
	if u.keys != nil || len(u.oneTime)+len(u.fallback) > 0 {
		if err := s.store(ctx, u); err != nil {
			return UploadAnswer{}, err
		}
	}
	counts, err := s.Counts(ctx, who.UserID, who.DeviceID)
	if err != nil {
		return UploadAnswer{}, err
	}
	return UploadAnswer{counts.OneTime}, nil
}

// UploadAnswer is the answer to POST /keys/upload.
type UploadAnswer struct {
	OneTimeKeyCounts map[string]int64 `json:"one_time_key_counts"`
}

func (q *UploadRequest) parse(who device) (u *upload, err error) {
	u = &upload{who: who}
	if !matrix.IsNull(q.DeviceKeys) {
		if u.keys, err = parseDeviceKeys(q.DeviceKeys, who); err != nil {
			return nil, err
		}
	}
	if u.oneTime, err = parseOneTimeKeys(q.OneTimeKeys, "one-time keys", maxOneTimeKeys); err != nil {
		return nil, err
	}
	fallback := q.FallbackKeys
	if fallback == nil {
		fallback = q.ProposedFallbackKeys
	}
	if u.fallback, err = parseOneTimeKeys(fallback, "fallback keys", maxFallbackKeys); err != nil {
		return nil, err
	}
	return u, mustDiffer(u.fallback)
}

// checkSignatures checks the signatures of one-time and fallback keys by the keys of the
// device, be they in the request or stored.
func (s *Service) checkSignatures(ctx context.Context, u *upload) error {
	var key ed25519.PublicKey
	for _, list := range [][]*oneTimeKey{u.oneTime, u.fallback} {
		for _, k := range list {
			if k.object == nil {
				continue
			}
			if key == nil {
				var err error
				if key, err = s.signingKey(ctx, u); err != nil {
					return err
				}
			}
			if err := k.sign(u.who, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// signingKey returns the key by which the device signs. M_INVALID_PARAM where there is
// none.
func (s *Service) signingKey(ctx context.Context, u *upload) (ed25519.PublicKey, error) {
	if u.keys != nil {
		return u.keys.key, nil
	}
	stored, err := loadDevice(ctx, s.pool, u.who)
	if err != nil {
		return nil, err
	}
	if stored == nil {
		return nil, matrix.Errorf(matrix.InvalidParam, "the device has no device_keys yet, by which its signatures could be checked")
	}
	u.by = stored.keys
	return stored.signingKey(u.who)
}

// store stores what was uploaded in one transaction.
func (s *Service) store(ctx context.Context, u *upload) error {
	changed := false
	defer s.forgetCounts(u.who.UserID)
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if u.keys != nil { // so that cross-signing keys do not change meanwhile
			if err := account.LockLive(ctx, tx, u.who.UserID); err != nil {
				return err
			}
		}
		stored, err := lockDevice(ctx, tx, u.who)
		if err != nil {
			return err
		}
		if u.by != nil && (stored == nil || !bytes.Equal(stored.keys, u.by)) {
			return matrix.Errorf(matrix.InvalidParam, "the keys of the device have been replaced meanwhile")
		}
		if changed, err = s.storeDevice(ctx, tx, u, stored); err != nil {
			return err
		}
		if len(u.oneTime)+len(u.fallback) == 0 && !changed {
			return nil
		}
		return s.storeOthers(ctx, tx, u)
	})
	if err != nil {
		return fmt.Errorf("store keys of %s: %w", u.who.UserID, err)
	}
	if changed {
		return s.changeShown(ctx)
	}
	return nil
}

// storeOthers stores one-time and fallback keys.
func (s *Service) storeOthers(ctx context.Context, tx pgx.Tx, u *upload) error {
	if err := storeOneTimeKeys(ctx, tx, u.who, u.oneTime); err != nil {
		return err
	}
	if err := storeFallbackKeys(ctx, tx, u.who, u.fallback); err != nil {
		return err
	}
	return s.tellCounts(ctx, tx, u.who.UserID)
}

// storeDevice stores the keys of a device, unless they are the same as before, and reports
// whether they were not. With another signing key than before, all that the former one has
// signed goes.
func (s *Service) storeDevice(ctx context.Context, tx pgx.Tx, u *upload, stored *storedDevice) (changed bool, err error) {
	if u.keys == nil {
		return false, nil
	}
	own, err := loadSigningKeys(ctx, tx, u.who.UserID)
	if err != nil {
		return false, err
	}
	next := &storedDevice{keys: u.keys.signed, signature: u.keys.signature}
	if self := own[SelfSigning]; self != nil {
		if signature, err := u.keys.verify(u.who.UserID, self.publicKey, self.key()); err == nil {
			next.signedBy, next.selfSignature = self.publicKey, signature
		}
	}
	if stored != nil && bytes.Equal(stored.keys, next.keys) && next.selfSignature == "" {
		next.signedBy, next.selfSignature = stored.signedBy, stored.selfSignature
	}
	if stored != nil && stored.equal(next) {
		return false, nil
	}
	if stored != nil {
		before, err := stored.signingKey(u.who)
		if err != nil || !before.Equal(u.keys.key) {
			if err := forgetSignedBy(ctx, tx, u.who); err != nil {
				return false, err
			}
		}
	}
	if err := upsertDevice(ctx, tx, u.who, next); err != nil {
		return false, err
	}
	return true, postChange(ctx, tx, u.who.UserID)
}
