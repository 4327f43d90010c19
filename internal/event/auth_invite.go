package event

// maxVerifications bounds how many signatures are verified for one event. Strangers
// choose keys and signatures, and each is tried with each; honest events have one or
// two of both.
const maxVerifications = 64

// redeemInvite applies rule 4.4.1: an invitation that was sent to an address outside
// Matrix becomes one for a user.
func (a *authorizer) redeemInvite(target string, invite []byte) error {
	if a.membership(target) == Ban {
		return forbidden("%s is banned from the room", target)
	}
	signed := Field(invite, "signed")
	if signed == nil {
		return forbidden("third_party_invite has no signed")
	}
	token, err := invitationToken(signed, target)
	if err != nil {
		return err
	}
	original := a.state.Event(TypeThirdPartyInvite, token)
	if original == nil {
		return forbidden("the room has no m.room.third_party_invite event with the token")
	}
	if original.Sender != a.event.Sender {
		return forbidden("third_party_invite can be redeemed in the name of its sender only, %s", original.Sender)
	}
	if !signedByAny(signed, inviteKeys(original)) {
		return forbidden("third_party_invite is not signed with a key of the m.room.third_party_invite event")
	}
	return nil
}

// invitationToken returns the token of an invitation that is for the target: rules
// 4.4.1.3 and 4.4.1.4.
func invitationToken(signed []byte, target string) (string, error) {
	mxid, hasID := StringField(signed, "mxid")
	token, hasToken := StringField(signed, "token")
	if !hasID || !hasToken {
		return "", forbidden("third_party_invite.signed needs mxid and token")
	}
	if mxid != target {
		return "", forbidden("third_party_invite is for %s, not for %s", quote(mxid), target)
	}
	return token, nil
}

// inviteKeys returns the public keys of an m.room.third_party_invite event, those that
// can be decoded: rules 4.4.1.7.1 and 4.4.1.7.2.
func inviteKeys(e *Event) [][]byte {
	var keys [][]byte
	add := func(object []byte) {
		text, ok := StringField(object, "public_key")
		if !ok {
			return
		}
		if key, err := decodeBase64(text); err == nil {
			keys = append(keys, key)
		}
	}
	add(e.Content)
	for values := elementsOf(Field(e.Content, "public_keys")); values.next(); {
		add(values.value)
	}
	return keys
}

// signedByAny reports whether any signature on the object is by any of the keys.
func signedByAny(object []byte, keys [][]byte) bool {
	message := appendWithout(nil, object, "signatures", "unsigned")
	tries := 0
	for servers := membersOf(Field(object, "signatures")); servers.next(); {
		for signatures := membersOf(servers.value); signatures.next(); {
			text, ok := Unquote(signatures.value)
			if !ok || !isEd25519(string(signatures.key)) {
				continue
			}
			for _, key := range keys {
				if tries++; tries > maxVerifications {
					return false
				}
				if validSignature(key, message, text) {
					return true
				}
			}
		}
	}
	return false
}
