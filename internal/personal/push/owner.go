package push

import (
	"bytes"
	"crypto/rand"
	"encoding/json"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
)

// owner is the user whose rules they are, as the predefined rules look for them. In what
// all users share of these rules placeholders stand for the owner.
type owner struct {
	userID string
	// id and localpart are patterns.
	id, localpart *glob
	// quoted and quotedLocalpart are JSON.
	quoted, quotedLocalpart []byte
}

// theOwner and theLocalpart are the placeholders. No client can guess them, and write them
// into a rule of its own.
var theOwner, theLocalpart = rand.Text(), rand.Text()

func newOwner(userID string) owner {
	localpart, _, _ := matrix.ParseUserID(userID) // an account's ID is one
	return owner{
		userID: userID, id: newGlob(userID), localpart: newGlob(localpart),
		quoted: event.AppendString(nil, userID), quotedLocalpart: event.AppendString(nil, localpart),
	}
}

// fillIn returns JSON with the owner in place of the placeholders.
func (o *owner) fillIn(text []byte) []byte {
	text = bytes.ReplaceAll(text, []byte(`"`+theOwner+`"`), o.quoted)
	return bytes.ReplaceAll(text, []byte(`"`+theLocalpart+`"`), o.quotedLocalpart)
}

// rule returns a rule as its owner sees it.
func (o *owner) rule(r Rule) Rule {
	if !r.Default {
		return r
	}
	if r.Pattern != nil && *r.Pattern == theLocalpart {
		localpart, _ := event.Unquote(o.quotedLocalpart)
		r.Pattern = &localpart
	}
	conditions := r.Conditions
	for i, raw := range conditions {
		if bytes.Contains(raw, []byte(theOwner)) {
			r.Conditions = append([]json.RawMessage{}, r.Conditions...)
			r.Conditions[i] = o.fillIn(raw)
		}
	}
	return r
}
