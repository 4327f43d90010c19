package devicekeys

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
)

// The algorithms of one-time keys whose form is known. Client-server API, "Key algorithms".
const (
	signedCurve25519 = "signed_curve25519"
	curve25519       = "curve25519" // as it was before keys were signed
)

// oneTimeKey is a one-time or fallback key as it is given out.
type oneTimeKey struct {
	algorithm, id string
	json          []byte
	object        *object // nil: it is not signed
}

// hash is what is remembered of a key that was given out.
func (k *oneTimeKey) hash() []byte {
	sum := sha256.Sum256(k.json)
	return sum[:]
}

// parseOneTimeKeys checks keys but for their signatures, and puts them in the order of
// their names. M_INVALID_PARAM, and the errors of parseObject.
func parseOneTimeKeys(sent map[string]json.RawMessage, what string, most int) ([]*oneTimeKey, error) {
	if len(sent) > most {
		return nil, matrix.Errorf(matrix.InvalidParam, "a request has at most %d %s", most, what)
	}
	list := make([]*oneTimeKey, 0, len(sent))
	for name, raw := range sent {
		k, err := parseOneTimeKey(name, raw)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b *oneTimeKey) int {
		return cmp.Or(strings.Compare(a.algorithm, b.algorithm), strings.Compare(a.id, b.id))
	})
	return list, nil
}

func parseOneTimeKey(name string, raw []byte) (*oneTimeKey, error) {
	algorithm, id, _ := strings.Cut(name, ":")
	if algorithm == "" || id == "" || len(name) > maxNameBytes || !matrix.IsText(name) {
		return nil, matrix.Errorf(matrix.InvalidParam, "the name of a key must be its algorithm, a colon and an ID: %s", clip(name))
	}
	k := &oneTimeKey{algorithm: algorithm, id: id}
	if algorithm == signedCurve25519 {
		return k, k.parseSigned(name, raw)
	}
	if len(raw) > maxKeyBytes {
		return nil, matrix.Errorf(matrix.TooLarge, "%s has more than %d bytes", clip(name), maxKeyBytes)
	}
	var err error
	if k.json, err = event.Canonical(raw, true); err != nil {
		return nil, err
	}
	text, isText := event.Unquote(k.json)
	switch {
	case algorithm == curve25519 && isText:
		_, err = parseKey(name, text)
	case algorithm == curve25519:
		err = matrix.Errorf(matrix.BadJSON, "%s must be a string", clip(name))
	case !isText && k.json[0] != '{':
		err = matrix.Errorf(matrix.BadJSON, "%s must be a string or an object", clip(name))
	}
	return k, err
}

func (k *oneTimeKey) parseSigned(name string, raw []byte) (err error) {
	var sent struct {
		Key      *string `json:"key"`
		Fallback bool    `json:"fallback"`
	}
	if k.object, err = parseObject(raw, maxKeyBytes, clip(name), &sent); err != nil {
		return err
	}
	if sent.Key == nil || k.object.signatures == nil {
		return matrix.Errorf(matrix.MissingParam, "%s needs key and signatures", clip(name))
	}
	_, err = parseKey(name+" key", *sent.Key)
	return err
}

// sign checks the signature of a key by its device, and keeps no other.
func (k *oneTimeKey) sign(who device, key ed25519.PublicKey) error {
	if k.object == nil {
		return nil
	}
	signature, err := k.object.verify(who.UserID, who.DeviceID, key)
	if err != nil {
		return err
	}
	own := signatures{userID: who.UserID}
	own.add(who.DeviceID, signature)
	k.json = append(appendSigned(nil, k.object.signed, &own), '}')
	return nil
}

// mustDiffer refuses two fallback keys of one algorithm: M_INVALID_PARAM.
func mustDiffer(fallback []*oneTimeKey) error {
	for i := 1; i < len(fallback); i++ {
		if fallback[i].algorithm == fallback[i-1].algorithm {
			return matrix.Errorf(matrix.InvalidParam, "there may be one fallback key of an algorithm, and there are two of %s", clip(fallback[i].algorithm))
		}
	}
	return nil
}

// errOtherKey refuses a one-time key whose ID is that of another one. One client library
// reads the text: it is the one that other servers answer with.
func errOtherKey(algorithm, id, old, sent string) error {
	return matrix.Errorf(matrix.InvalidParam, "One time key %s:%s already exists. Old key: %s; new key: %s",
		algorithm, id, old, strings.ReplaceAll(sent, `"`, `'`))
}
