package identity

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"homeserver/internal/matrix"
)

// algorithm is the one that every identity server must support.
const algorithm = "sha256"

// attempts is how often a look-up is tried where the server has changed its pepper in
// between.
const attempts = 2

const invalidPepper matrix.Code = "M_INVALID_PEPPER"

// Lookup returns the user to whom an address is bound; "" if there is none. Errors are
// those of the identity server, M_UNKNOWN with 502 if it doesn't answer,
// M_SERVER_NOT_TRUSTED if it may not be asked. Identity service API, POST /lookup.
func (c *Client) Lookup(ctx context.Context, s Server, medium, address string) (userID string, err error) {
	for range attempts {
		userID, err = c.lookup(ctx, s, medium, address)
		if !matrix.IsCode(err, invalidPepper) {
			break
		}
	}
	return userID, err
}

func (c *Client) lookup(ctx context.Context, s Server, medium, address string) (string, error) {
	var details struct {
		Pepper     string   `json:"lookup_pepper"`
		Algorithms []string `json:"algorithms"`
	}
	if err := c.call(ctx, s, http.MethodGet, "/hash_details", nil, &details); err != nil {
		return "", err
	}
	if !slices.Contains(details.Algorithms, algorithm) {
		return "", Place{Name: s.Name}.Unreachable("it knows no hash that this server knows")
	}
	sum := sha256.Sum256([]byte(address + " " + medium + " " + details.Pepper))
	hash := base64.RawURLEncoding.EncodeToString(sum[:])
	var found struct {
		Mappings map[string]string `json:"mappings"`
	}
	err := c.call(ctx, s, http.MethodPost, "/lookup", map[string]any{
		"algorithm": algorithm, "pepper": details.Pepper, "addresses": []string{hash},
	}, &found)
	if err != nil {
		return "", err
	}
	userID := found.Mappings[hash]
	if userID == "" {
		return "", nil
	}
	if _, _, err := matrix.ParseUserID(userID); err != nil {
		return "", Place{Name: s.Name}.Unreachable("its answer makes no sense")
	}
	return userID, nil
}

// Invite is an invitation for an identity server to store and to send a mail about.
// Optional fields are "" if they are not known.
type Invite struct {
	Medium       string `json:"medium"`
	Address      string `json:"address"`
	RoomID       string `json:"room_id"`
	Sender       string `json:"sender"`
	RoomAlias    string `json:"room_alias,omitempty"`
	RoomAvatar   string `json:"room_avatar_url,omitempty"`
	RoomJoinRule string `json:"room_join_rules,omitempty"`
	RoomName     string `json:"room_name,omitempty"`
	RoomType     string `json:"room_type,omitempty"`
	SenderName   string `json:"sender_display_name,omitempty"`
	SenderAvatar string `json:"sender_avatar_url,omitempty"`
}

// PublicKey is a key with which an identity server signs, and where to ask whether
// it is still valid.
type PublicKey struct {
	Key         string `json:"public_key"`
	ValidityURL string `json:"key_validity_url,omitempty"`
}

// StoredInvite has the data of a stored invitation that the room needs.
type StoredInvite struct {
	Token       string      `json:"token"`
	DisplayName string      `json:"display_name"`
	PublicKeys  []PublicKey `json:"public_keys"`
}

// StoreInvite hands an invitation over. Errors as for Lookup, M_THREEPID_IN_USE among
// them. Identity service API, POST /store-invite.
func (c *Client) StoreInvite(ctx context.Context, s Server, i Invite) (*StoredInvite, error) {
	stored := &StoredInvite{}
	if err := c.call(ctx, s, http.MethodPost, "/store-invite", i, stored); err != nil {
		return nil, err
	}
	if stored.Token == "" || len(stored.Token) > matrix.MaxIDBytes || len(stored.PublicKeys) == 0 {
		return nil, Place{Name: s.Name}.Unreachable("its answer makes no sense")
	}
	return stored, nil
}

// KeyIsValid asks at a key_validity_url whether a key is still in use. A key whose URL
// is none is not; nor is one of a server that is not to be asked, or not like this.
// Errors as for Lookup. Identity service API, GET /pubkey/isvalid.
func (c *Client) KeyIsValid(ctx context.Context, key PublicKey) (bool, error) {
	at, err := url.Parse(key.ValidityURL)
	if err != nil {
		return false, nil
	}
	place, err := c.Find(at.Host)
	if err != nil || !strings.HasPrefix(place.BaseURL, at.Scheme+"://") {
		return false, nil
	}
	query := at.Query()
	query.Set("public_key", key.Key)
	at.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return false, nil
	}
	var answer struct {
		Valid bool `json:"valid"`
	}
	err = c.send(place, request, &answer)
	return answer.Valid, err
}
