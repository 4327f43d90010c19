package devicekeys

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/session"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
)

// Usage is what a cross-signing key is for: client-server API, "Cross-signing".
type Usage string

// The usages.
const (
	Master      Usage = "master"
	SelfSigning Usage = "self_signing"
	UserSigning Usage = "user_signing"
)

// usages are all of them, the master key first, which signs the others.
var usages = []Usage{Master, SelfSigning, UserSigning}

// SigningKeysRequest is the body of POST /keys/device_signing/upload.
type SigningKeysRequest struct {
	MasterKey      json.RawMessage `json:"master_key"`
	SelfSigningKey json.RawMessage `json:"self_signing_key"`
	UserSigningKey json.RawMessage `json:"user_signing_key"`
	Auth           json.RawMessage `json:"auth"`
}

// signingKey is a cross-signing key as it is stored, or as it was sent.
type signingKey struct {
	publicKey string
	signed    []byte // the object without its signatures
	signature string // by the master key; of the master key itself "" or its own
	object    *object
}

// key returns the public key, which was checked when it was read from a request.
func (k *signingKey) key() ed25519.PublicKey {
	key, _ := decodeBase64(k.publicKey, keyBytes)
	return key
}

// signingKeys are those of one user.
type signingKeys map[Usage]*signingKey

// has reports whether a key ID is that of one of the keys.
func (keys signingKeys) has(keyID string) bool {
	for _, k := range keys {
		if k.publicKey == keyID {
			return true
		}
	}
	return false
}

// publicKeys lists the IDs of the keys.
func (keys signingKeys) publicKeys() (ids []string) {
	for _, usage := range usages {
		if k := keys[usage]; k != nil {
			ids = append(ids, k.publicKey)
		}
	}
	return ids
}

// errKeyIDInUse refuses a key whose ID would be that of another one.
func errKeyIDInUse() error { return matrix.Errorf(matrix.Forbidden, "Key ID in use") }

// UploadSigningKeys stores cross-signing keys of the user. It needs interactive
// authentication unless the user has no master key yet, or all of the keys are there
// already, which changes nothing, or an application service acts as the user; of a session that was
// signed in by OAuth, the approval of the user on the page of the account. A new master key ends what the former one stood for: keys
// that it has signed, and signatures on it. M_MISSING_PARAM where there is no master key,
// M_INVALID_SIGNATURE where the master key has not signed the others, M_FORBIDDEN for a key
// whose ID a device has, M_INVALID_PARAM, M_BAD_JSON and M_TOO_LARGE for what is no key.
// Client-server API, POST /keys/device_signing/upload.
func (s *Service) UploadSigningKeys(ctx context.Context, who matrix.Session, q SigningKeysRequest) error {
	sent, err := q.parse(who.UserID)
	if err != nil {
		return err
	}
	changed, err := s.replaceSigningKeys(ctx, who.UserID, sent, nil)
	if errors.Is(err, errNeedsAuthentication) {
		op := uia.ByPassword(uia.UploadSigningKeys, who).About("Replace the keys by which others know you", sent.publicKeys()).
			FreeForAppServices(who).ApprovedOnPage()
		proof, refusal := s.o.Stages.Interact(ctx, op, q.Auth)
		if refusal != nil {
			return refusal
		}
		changed, err = s.replaceSigningKeys(ctx, who.UserID, sent, &proof)
	}
	if err != nil {
		return fmt.Errorf("store cross-signing keys of %s: %w", who.UserID, err)
	}
	if changed {
		return s.changeShown(ctx)
	}
	return nil
}

// errNeedsAuthentication says that keys would be replaced without interactive authentication.
var errNeedsAuthentication = errors.New("interactive authentication is needed")

func (q *SigningKeysRequest) parse(userID string) (signingKeys, error) {
	keys := signingKeys{}
	for usage, raw := range map[Usage]json.RawMessage{Master: q.MasterKey, SelfSigning: q.SelfSigningKey, UserSigning: q.UserSigningKey} {
		if matrix.IsNull(raw) {
			continue
		}
		k, err := parseSigningKey(raw, usage, userID)
		if err != nil {
			return nil, err
		}
		keys[usage] = k
	}
	return keys, nil
}

// parseSigningKey checks a key but for its signatures.
func parseSigningKey(raw []byte, usage Usage, userID string) (*signingKey, error) {
	var sent struct {
		UserID *string           `json:"user_id"`
		Usage  *[]Usage          `json:"usage"`
		Keys   map[string]string `json:"keys"`
	}
	name := string(usage) + "_key"
	o, err := parseObject(raw, maxDeviceKeysBytes, name, &sent)
	switch {
	case err != nil:
		return nil, err
	case sent.UserID == nil || sent.Usage == nil || sent.Keys == nil:
		return nil, matrix.Errorf(matrix.MissingParam, "%s needs user_id, usage and keys", name)
	case *sent.UserID != userID:
		return nil, matrix.Errorf(matrix.InvalidParam, "user_id of %s must be that of the user who uploads it", name)
	case !slices.Equal(*sent.Usage, []Usage{usage}):
		return nil, matrix.Errorf(matrix.InvalidParam, `usage of %s must be ["%s"]`, name, usage)
	case len(sent.Keys) != 1:
		return nil, matrix.Errorf(matrix.InvalidParam, "%s must hold one key", name)
	}
	for id, public := range sent.Keys {
		if id != ed25519Prefix+public {
			return nil, matrix.Errorf(matrix.InvalidParam, "the key of %s must be called by itself, as %s and the key", name, ed25519Prefix)
		}
		if _, err := parseKey(name, public); err != nil {
			return nil, err
		}
		return &signingKey{publicKey: public, signed: o.signed, object: o}, nil
	}
	return nil, nil
}

// replaceSigningKeys stores keys in one transaction, and reports whether any has changed.
// Without a proof errNeedsAuthentication says that there must be one.
func (s *Service) replaceSigningKeys(ctx context.Context, userID string, sent signingKeys, proof *uia.Approval) (changed bool, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := account.LockLive(ctx, tx, userID); err != nil {
			return err
		}
		before, err := loadSigningKeys(ctx, tx, userID)
		if err != nil {
			return err
		}
		next, err := before.with(userID, sent)
		if err != nil {
			return err
		}
		replaced := before.differing(next)
		if len(replaced) == 0 {
			return nil
		}
		taken, err := session.HasAny(ctx, tx, userID, next.publicKeys())
		if err != nil {
			return err
		}
		if taken {
			return errKeyIDInUse()
		}
		if before[Master] != nil {
			if proof == nil {
				return errNeedsAuthentication
			}
			if err := proof.Consume(ctx, tx); err != nil {
				return err
			}
		}
		changed = true
		if err := storeSigningKeys(ctx, tx, userID, before, next, replaced); err != nil {
			return err
		}
		return postChange(ctx, tx, userID)
	})
	return changed && err == nil, err
}

// with returns the keys that a user has after keys were sent: with a new master key only
// those that were sent with it, since it has signed no other.
func (keys signingKeys) with(userID string, sent signingKeys) (signingKeys, error) {
	next := signingKeys{}
	if sent[Master] == nil || keys[Master] != nil && keys[Master].publicKey == sent[Master].publicKey {
		for usage, k := range keys {
			next[usage] = k
		}
	}
	master := next[Master]
	if sent[Master] != nil {
		master = sent[Master]
	}
	if master == nil {
		return nil, matrix.Errorf(matrix.MissingParam, "there is no master key yet: master_key is missing")
	}
	for usage, k := range sent {
		var err error
		if usage != Master {
			k.signature, err = k.object.verify(userID, master.publicKey, master.key())
		} else if k.object.signature(userID, master.publicKey) != "" {
			k.signature, err = k.object.verify(userID, master.publicKey, master.key())
		}
		if err != nil {
			return nil, err
		}
		next[usage] = k
	}
	if ids := next.publicKeys(); len(slices.Compact(slices.Sorted(slices.Values(ids)))) < len(ids) {
		return nil, matrix.Errorf(matrix.InvalidParam, "the cross-signing keys must be different keys")
	}
	return next, nil
}

// differing lists the usages whose keys are not the same.
func (keys signingKeys) differing(next signingKeys) (list []Usage) {
	for _, usage := range usages {
		a, b := keys[usage], next[usage]
		if a == nil && b == nil || a != nil && b != nil && string(a.signed) == string(b.signed) {
			continue
		}
		list = append(list, usage)
	}
	return list
}

// storeSigningKeys writes keys that have changed. What a key has signed that is gone, and
// what stood on a master key that is gone, goes with it.
func storeSigningKeys(ctx context.Context, tx pgx.Tx, userID string, before, next signingKeys, changed []Usage) error {
	for _, usage := range changed {
		was, is := before[usage], next[usage]
		if was != nil && (is == nil || is.publicKey != was.publicKey) {
			if err := forgetSigningKey(ctx, tx, userID, was.publicKey); err != nil {
				return err
			}
		}
	}
	if err := upsertSigningKeys(ctx, tx, userID, next, changed); err != nil {
		return err
	}
	if next[Master] != nil && slices.Contains(changed, Master) {
		return keepOwnSignatures(ctx, tx, userID, next[Master])
	}
	return nil
}

// keepOwnSignatures stores the signatures that came with a master key, of the user's own
// devices. Others are not kept.
func keepOwnSignatures(ctx context.Context, tx pgx.Tx, userID string, master *signingKey) error {
	signers := master.object.signersOf(userID)
	if len(signers) == 0 {
		return nil
	}
	devices, err := loadDevices(ctx, tx, userID, signers)
	if err != nil {
		return err
	}
	var good []masterSignature
	for id, d := range devices {
		key, err := d.signingKey(device{userID, id})
		if err != nil {
			return err
		}
		signature, err := master.object.verify(userID, id, key)
		if err != nil {
			return err
		}
		good = append(good, masterSignature{
			UserID: userID, MasterKey: master.publicKey, KeyID: id, DeviceID: id, Signature: signature, Keys: d.hash(),
		})
	}
	_, err = insertMasterSignatures(ctx, tx, userID, good)
	return err
}

// RemoveAll deletes the cross-signing keys of a user whose account has ended, and all that
// they have signed; the keys of the devices went with these. It may be called again.
func (s *Service) RemoveAll(ctx context.Context, userID string) error {
	changed := false
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		own, err := loadSigningKeys(ctx, tx, userID)
		if err != nil || len(own) == 0 {
			return err
		}
		changed = true
		if err := storeSigningKeys(ctx, tx, userID, own, signingKeys{}, usages); err != nil {
			return err
		}
		if err := forgetSigned(ctx, tx, userID); err != nil {
			return err
		}
		return postChange(ctx, tx, userID)
	})
	if err != nil {
		return fmt.Errorf("delete the cross-signing keys of %s: %w", userID, err)
	}
	if changed {
		return s.changeShown(ctx)
	}
	return nil
}
