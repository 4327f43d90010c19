package devicekeys

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth/account"
	"homeserver/internal/matrix"
)

const (
	// maxSignedObjects bounds the objects of a request: all devices of the user, and as many
	// keys of others.
	maxSignedObjects = 2000
	// maxSigners bounds the signatures of the user on one object that are looked at.
	maxSigners = 100
)

// SignaturesRequest is the body of POST /keys/signatures/upload: signed objects, by user and
// key ID.
type SignaturesRequest map[string]map[string]json.RawMessage

// SignaturesAnswer is the answer to it: what was not stored, and why.
type SignaturesAnswer struct {
	Failures map[string]map[string]signatureFailure `json:"failures"`
}

// signatureFailure says why a signature was not stored.
type signatureFailure struct {
	Code    matrix.Code `json:"errcode"`
	Message string      `json:"error"`
}

// masterSignature is a signature on a master key: by a device of its owner or by the
// user-signing key of another user.
type masterSignature struct {
	UserID, MasterKey string
	KeyID             string // of the signer
	DeviceID          string // ""; or the device, whose ID the key ID is
	Signature         string
	Keys              []byte // nil; or the hash of the device's keys, by which it was checked
}

// UploadSignatures stores signatures of the user: of the self-signing key on their devices,
// of their devices on their master key, and of their user-signing key on the master keys of
// others. Each is for an object that is here already and is checked by itself: those that
// fail stand in the answer, and the others are stored. M_INVALID_PARAM for too many.
// Client-server API, POST /keys/signatures/upload.
func (s *Service) UploadSignatures(ctx context.Context, who matrix.Session, q SignaturesRequest) (*SignaturesAnswer, error) {
	n := 0
	for _, objects := range q {
		n += len(objects)
	}
	if n > maxSignedObjects {
		return nil, matrix.Errorf(matrix.InvalidParam, "a request has at most %d objects", maxSignedObjects)
	}
	u := &signing{userID: who.UserID, failures: map[string]map[string]signatureFailure{}}
	objects := u.parse(q)
	if err := u.load(ctx, s.pool, objects); err != nil {
		return nil, err
	}
	for _, o := range objects {
		if err := u.check(o); err != nil {
			u.fail(o.userID, o.keyID, err)
		}
	}
	changed, err := s.storeSignatures(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("store signatures of %s: %w", who.UserID, err)
	}
	if changed {
		err = s.changeShown(ctx)
	}
	return &SignaturesAnswer{u.failures}, err
}

// signing is a request for signatures while it is being worked on.
type signing struct {
	userID   string
	own      signingKeys
	devices  map[string]*storedDevice // of the user, by ID
	masters  map[string]*signingKey   // of other users
	failures map[string]map[string]signatureFailure

	// What is good.
	onDevices []deviceSignature
	onMasters []masterSignature
}

// deviceSignature is the signature of the self-signing key on a device, which has the keys
// that it was checked for if they have the hash.
type deviceSignature struct {
	DeviceID, Signature string
	Keys                []byte
}

// storeSignatures stores what is good in one transaction, and reports whether any of it is
// new. What was replaced since it was checked is passed over.
func (s *Service) storeSignatures(ctx context.Context, u *signing) (changed bool, err error) {
	if len(u.onDevices)+len(u.onMasters) == 0 {
		return false, nil
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := account.LockLive(ctx, tx, u.userID); err != nil {
			return err
		}
		now, err := loadSigningKeys(ctx, tx, u.userID)
		if err != nil {
			return err
		}
		if !slices.Equal(now.publicKeys(), u.own.publicKeys()) {
			return matrix.Errorf(matrix.InvalidParam, "your cross-signing keys have been replaced meanwhile")
		}
		changed, err = u.keep(ctx, tx)
		return err
	})
	return changed && err == nil, err
}

// signedObject is one object of the request.
type signedObject struct {
	*object
	userID, keyID string
}

// parse takes the request apart. What cannot be read is a failure.
func (u *signing) parse(q SignaturesRequest) (list []signedObject) {
	for _, userID := range slices.Sorted(maps.Keys(q)) {
		for _, keyID := range slices.Sorted(maps.Keys(q[userID])) {
			o, err := parseObject(q[userID][keyID], maxDeviceKeysBytes, "the object", &struct{}{})
			if err == nil && (!matrix.IsText(userID) || !matrix.IsText(keyID)) {
				err = matrix.Errorf(matrix.NotFound, "there is no such key")
			}
			if err == nil && len(o.signatures[u.userID]) > maxSigners {
				err = matrix.Errorf(matrix.InvalidParam, "an object has at most %d signatures of one user", maxSigners)
			}
			if err != nil {
				u.fail(userID, keyID, err)
				continue
			}
			list = append(list, signedObject{o, userID, keyID})
		}
	}
	return list
}

// fail notes that a signature is not stored.
func (u *signing) fail(userID, keyID string, err error) {
	if u.failures[userID] == nil {
		u.failures[userID] = map[string]signatureFailure{}
	}
	why := signatureFailure{matrix.Unknown, "the signature was not stored"}
	if public, ok := errors.AsType[*matrix.Error](err); ok {
		why = signatureFailure{public.Code, public.Message}
	}
	u.failures[userID][keyID] = why
}

// load reads the keys that the objects are about, and those that may have signed them.
func (u *signing) load(ctx context.Context, pool *pgxpool.Pool, objects []signedObject) (err error) {
	if len(objects) == 0 {
		return nil
	}
	if u.own, err = loadSigningKeys(ctx, pool, u.userID); err != nil {
		return err
	}
	var devices, others []string
	for _, o := range objects {
		switch {
		case o.userID != u.userID:
			others = append(others, o.userID)
		case u.own[Master] != nil && u.own[Master].publicKey == o.keyID:
			devices = append(devices, o.signersOf(u.userID)...)
		default:
			devices = append(devices, o.keyID)
		}
	}
	if u.devices, err = loadDevices(ctx, pool, u.userID, devices); err != nil {
		return err
	}
	u.masters, err = loadMasterKeys(ctx, pool, others)
	return err
}

// check checks one object, and notes its signatures. M_NOT_FOUND for what is not here,
// M_INVALID_PARAM where it is something else, M_INVALID_SIGNATURE.
func (u *signing) check(o signedObject) error {
	if o.userID != u.userID {
		return u.checkOther(o)
	}
	if master := u.own[Master]; master != nil && master.publicKey == o.keyID {
		return u.checkOwnMaster(o)
	}
	d := u.devices[o.keyID]
	if d == nil {
		return matrix.Errorf(matrix.NotFound, "you have no device and no master key with this ID")
	}
	if err := o.mustBe(d.keys); err != nil {
		return err
	}
	self := u.own[SelfSigning]
	if self == nil {
		return matrix.Errorf(matrix.NotFound, "you have no self-signing key")
	}
	signature, err := o.verify(u.userID, self.publicKey, self.key())
	if err == nil {
		u.onDevices = append(u.onDevices, deviceSignature{o.keyID, signature, d.hash()})
	}
	return err
}

// checkOwnMaster checks the signatures of devices on the master key of their owner. There
// must be one, and all that there are must be right.
func (u *signing) checkOwnMaster(o signedObject) error {
	if err := o.mustBe(u.own[Master].signed); err != nil {
		return err
	}
	var good []masterSignature
	for _, id := range o.signersOf(u.userID) {
		d := u.devices[id]
		if d == nil {
			continue
		}
		key, err := d.signingKey(device{u.userID, id})
		if err != nil {
			return err
		}
		signature, err := o.verify(u.userID, id, key)
		if err != nil {
			return err
		}
		good = append(good, masterSignature{
			UserID: u.userID, MasterKey: o.keyID, KeyID: id, DeviceID: id, Signature: signature, Keys: d.hash(),
		})
	}
	if len(good) == 0 {
		return matrix.Errorf(matrix.InvalidSignature, "there is no signature of a device of yours")
	}
	u.onMasters = append(u.onMasters, good...)
	return nil
}

// checkOther checks the signature of the user-signing key on the master key of another user.
func (u *signing) checkOther(o signedObject) error {
	master := u.masters[o.userID]
	if master == nil || master.publicKey != o.keyID {
		return matrix.Errorf(matrix.NotFound, "the user has no master key with this ID")
	}
	if err := o.mustBe(master.signed); err != nil {
		return err
	}
	by := u.own[UserSigning]
	if by == nil {
		return matrix.Errorf(matrix.NotFound, "you have no user-signing key")
	}
	signature, err := o.verify(u.userID, by.publicKey, by.key())
	if err == nil {
		u.onMasters = append(u.onMasters, masterSignature{UserID: o.userID, MasterKey: o.keyID, KeyID: by.publicKey, Signature: signature})
	}
	return err
}

// mustBe refuses an object that is not the one that is stored: M_INVALID_PARAM.
func (o signedObject) mustBe(stored []byte) error {
	if !bytes.Equal(o.signed, stored) {
		return matrix.Errorf(matrix.InvalidParam, "the signed object is not the one that was uploaded")
	}
	return nil
}

// signersOf lists the IDs of the Ed25519 keys of a user that have signed an object.
func (o *object) signersOf(userID string) (ids []string) {
	for id := range o.signatures[userID] {
		if id, ok := strings.CutPrefix(id, ed25519Prefix); ok && id != "" && matrix.IsText(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// keep stores what is good, and reports whether anything was not there before.
// What others see is news for everybody, and the signatures of the user-signing key are news
// for the user's own devices.
func (u *signing) keep(ctx context.Context, tx pgx.Tx) (changed bool, err error) {
	onDevices := 0
	if self := u.own[SelfSigning]; self != nil && len(u.onDevices) > 0 {
		if onDevices, err = signDevices(ctx, tx, u.userID, self.publicKey, u.onDevices); err != nil {
			return false, err
		}
	}
	news, err := insertMasterSignatures(ctx, tx, u.userID, u.onMasters)
	if err != nil {
		return false, err
	}
	signed := slices.DeleteFunc(slices.Clone(news), func(userID string) bool { return userID == u.userID })
	if onDevices > 0 || len(signed) < len(news) {
		if err := postChange(ctx, tx, u.userID); err != nil {
			return false, err
		}
	}
	if len(signed) > 0 {
		err = postSigned(ctx, tx, u.userID, signed)
	}
	return onDevices+len(news) > 0, err
}
