package emailpusher

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
)

// UnsubscribePath is the path of the page at which the receiver of mails ends them. It is
// below /_matrix, as reverse proxies pass that on.
const UnsubscribePath = "/_matrix/static/client/unsubscribe"

// newLinkKey makes the key that authenticates links of the server's signing key, so that
// all processes have the same and nothing is stored. A new signing key ends old links.
func newLinkKey(signer *event.Signer) [sha256.Size]byte {
	return sha256.Sum256(append([]byte("links in mails of the homeserver\x00"), signer.Key.Seed()...))
}

// linkToken authenticates the link by which a user ends mails to an address.
func (s *Service) linkToken(userID, address string) []byte {
	mac := hmac.New(sha256.New, s.linkKey[:])
	mac.Write([]byte("unsubscribe " + strconv.Quote(userID) + strconv.Quote(address)))
	return mac.Sum(nil)
}

// UnsubscribeLink returns the link by which a user ends mails to an address.
func (s *Service) UnsubscribeLink(userID, address string) string {
	return s.o.BaseURL + UnsubscribePath + "?" + url.Values{
		"user_id": {userID}, "address": {address}, "token": {base64.RawURLEncoding.EncodeToString(s.linkToken(userID, address))},
	}.Encode()
}

// CheckLink refuses a link that stands in no mail of this server: M_FORBIDDEN.
func (s *Service) CheckLink(userID, address, token string) error {
	got, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || !hmac.Equal(got, s.linkToken(userID, address)) {
		return &matrix.Error{
			Code: matrix.Forbidden, Status: http.StatusForbidden,
			Message: "This link is not complete, or the server does not know it any more. The app that you use can end the mails, too.",
		}
	}
	return nil
}

// Unsubscribe ends the mails to an address about what a user has not read. M_FORBIDDEN as
// for CheckLink. RFC 8058.
func (s *Service) Unsubscribe(ctx context.Context, userID, address, token string) error {
	if err := s.CheckLink(userID, address, token); err != nil {
		return err
	}
	return s.o.Push.RemoveEmailPusher(ctx, userID, address)
}
