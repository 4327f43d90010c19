package thirdpartyinvite

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"

	"homeserver/internal/auth/identity"
	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

// maxSignatures bounds how many signatures are tried; strangers choose them.
const maxSignatures = 16

// Join makes a user join a room by an invitation to an address that is now the user's.
// signed is the third_party_signed of the identity server. M_BAD_JSON if it is no JSON
// that an event can have, M_FORBIDDEN if it redeems no pending invitation, or is signed
// by no key that is still valid; M_UNKNOWN with 502 if the identity server does not
// answer for its key; else as for rooms.Service.Redeem. Client-server API, POST
// /rooms/{roomId}/join.
func (s *Service) Join(ctx context.Context, q rooms.JoinRequest, signed json.RawMessage) error {
	signed, err := event.Canonical(signed, false)
	if err != nil {
		return err
	}
	token, _ := event.StringField(signed, "token")
	pending, err := s.rooms.PendingInvite(ctx, q.RoomID, token)
	if err != nil {
		return err
	}
	if sender, _ := event.StringField(signed, "sender"); sender != pending.Sender {
		return matrix.Errorf(matrix.Forbidden, "third_party_signed is not for an invitation by %s", pending.Sender)
	}
	if err := s.verify(ctx, pending, signed); err != nil {
		return err
	}
	return s.rooms.Redeem(ctx, q, signed)
}

// verify refuses an object that is signed by no key of a pending invitation, or by one
// that is no longer valid: errors of Join. If the signature is wrong no server is
// asked.
func (s *Service) verify(ctx context.Context, pending *timeline.Event, signed json.RawMessage) error {
	key, ok := signingKey(signed, pending.Content())
	if !ok {
		return matrix.Errorf(matrix.Forbidden, "this is not signed with a key of the invitation")
	}
	if key.ValidityURL == "" {
		return nil
	}
	valid, err := s.identity.KeyIsValid(ctx, key)
	if err != nil {
		return err
	}
	if !valid {
		return matrix.Errorf(matrix.Forbidden, "the key that has signed the invitation is no longer valid")
	}
	return nil
}

// signingKey finds the key of a m.room.third_party_invite event that has signed.
func signingKey(signed, content []byte) (identity.PublicKey, bool) {
	var invite struct {
		identity.PublicKey
		PublicKeys []identity.PublicKey `json:"public_keys"`
	}
	var signatures struct {
		Signatures map[string]map[string]string `json:"signatures"`
	}
	if json.Unmarshal(content, &invite) != nil || json.Unmarshal(signed, &signatures) != nil {
		return identity.PublicKey{}, false
	}
	tries := 0
	for _, key := range append(invite.PublicKeys, invite.PublicKey) {
		public, ok := decodeKey(key.Key)
		if !ok {
			continue
		}
		for server, ids := range signatures.Signatures {
			for keyID := range ids {
				if tries++; tries > maxSignatures {
					return identity.PublicKey{}, false
				}
				if event.VerifyJSON(signed, server, keyID, public) == nil {
					return key, true
				}
			}
		}
	}
	return identity.PublicKey{}, false
}

// decodeKey reads a public key in either alphabet of base64.
func decodeKey(text string) (ed25519.PublicKey, bool) {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	key, err := base64.RawStdEncoding.DecodeString(text)
	return key, err == nil && len(key) == ed25519.PublicKeySize
}
