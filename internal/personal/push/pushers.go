package push

import (
	"context"
	"encoding/json"
	"net/mail"
	"net/url"
	"strings"
	"unicode/utf8"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
)

// Limits of pushers.
const (
	MaxPushers         = 100 // of a user
	MaxAppIDRunes      = 64
	MaxPushkeyBytes    = 512
	maxPusherTextBytes = 255 // of a name, a profile tag or a language
	maxPusherDataBytes = 8 << 10
)

// threepidNotFound is for an e-mail address that is not the user's.
const threepidNotFound matrix.Code = "M_THREEPID_NOT_FOUND"

// Pusher is where notifications go: client-server API, GET /pushers.
type Pusher struct {
	AppDisplayName    string          `json:"app_display_name"`
	AppID             string          `json:"app_id"`
	Data              json.RawMessage `json:"data"`
	DeviceDisplayName string          `json:"device_display_name"`
	Kind              string          `json:"kind"`
	Lang              string          `json:"lang"`
	ProfileTag        string          `json:"profile_tag"`
	Pushkey           string          `json:"pushkey"`
	// DeviceID is the device that has set it, and Enabled whether anything is sent: MSC3881.
	DeviceID string `json:"org.matrix.msc3881.device_id"`
	Enabled  bool   `json:"org.matrix.msc3881.enabled"`
}

// PusherRequest is the body of POST /pushers/set. Members that were not sent are nil.
// Kind is JSON: null deletes.
type PusherRequest struct {
	AppDisplayName    *string         `json:"app_display_name"`
	AppID             *string         `json:"app_id"`
	Append            bool            `json:"append"`
	Data              json.RawMessage `json:"data"`
	DeviceDisplayName *string         `json:"device_display_name"`
	Enabled           *bool           `json:"org.matrix.msc3881.enabled"`
	Kind              json.RawMessage `json:"kind"`
	Lang              *string         `json:"lang"`
	ProfileTag        *string         `json:"profile_tag"`
	Pushkey           *string         `json:"pushkey"`
}

// Pushers lists the pushers of a user. Client-server API, GET /pushers.
func (s *Service) Pushers(ctx context.Context, userID string) ([]Pusher, error) {
	return s.listPushers(ctx, userID)
}

// SetPusher makes, changes or deletes a pusher of a user, which belongs to the device
// that asks from then on, and is deleted with it. Unless Append is set, those of other
// users with the same app and key are deleted. To delete one that does not exist is no
// error. M_MISSING_PARAM names the missing members; M_INVALID_PARAM and M_BAD_JSON for
// invalid values; M_THREEPID_NOT_FOUND for an e-mail address that is not the user's;
// M_UNKNOWN for too many pushers; M_UNKNOWN_TOKEN if the device is gone meanwhile. A pusher
// that is not enabled is sent nothing, also later, for that time (MSC3881).
// Client-server API, POST /pushers/set.
func (s *Service) SetPusher(ctx context.Context, userID, deviceID string, q PusherRequest) error {
	if err := q.checkComplete(); err != nil {
		return err
	}
	if err := q.checkID(); err != nil {
		return err
	}
	if q.deletes() {
		return deletePusher(ctx, s.pool, userID, *q.AppID, *q.Pushkey)
	}
	p, err := q.pusher()
	if err != nil {
		return err
	}
	if err := s.checkTarget(ctx, userID, p); err != nil {
		return err
	}
	p.DeviceID = deviceID
	if err := s.storePusher(ctx, userID, p, q.Append); err != nil {
		return err
	}
	s.pusherSet(userID)
	return nil
}

func (q *PusherRequest) deletes() bool { return string(q.Kind) == "null" }

// checkComplete refuses a request that lacks something: M_MISSING_PARAM.
func (q *PusherRequest) checkComplete() error {
	var missing []string
	need := func(name string, there bool) {
		if !there {
			missing = append(missing, name)
		}
	}
	need("kind", q.Kind != nil)
	need("app_id", q.AppID != nil)
	need("pushkey", q.Pushkey != nil)
	if !q.deletes() {
		need("app_display_name", q.AppDisplayName != nil)
		need("device_display_name", q.DeviceDisplayName != nil)
		need("lang", q.Lang != nil)
		need("data", !matrix.IsNull(q.Data))
	}
	if missing != nil {
		return matrix.Errorf(matrix.MissingParam, "Missing parameters: %s", strings.Join(missing, ", "))
	}
	return nil
}

func (q *PusherRequest) checkID() error {
	switch {
	case *q.AppID == "" || utf8.RuneCountInString(*q.AppID) > MaxAppIDRunes:
		return matrix.Errorf(matrix.InvalidParam, "app_id has 1 to %d characters", MaxAppIDRunes)
	case *q.Pushkey == "" || len(*q.Pushkey) > MaxPushkeyBytes:
		return matrix.Errorf(matrix.InvalidParam, "pushkey has 1 to %d bytes", MaxPushkeyBytes)
	}
	return nil
}

// pusher checks the rest of the request.
func (q *PusherRequest) pusher() (*Pusher, error) {
	p := &Pusher{
		AppID: *q.AppID, Pushkey: *q.Pushkey, Lang: *q.Lang,
		AppDisplayName: *q.AppDisplayName, DeviceDisplayName: *q.DeviceDisplayName,
		Enabled: q.Enabled == nil || *q.Enabled,
	}
	if q.ProfileTag != nil {
		p.ProfileTag = *q.ProfileTag
	}
	for _, text := range []string{p.AppDisplayName, p.DeviceDisplayName, p.Lang, p.ProfileTag} {
		if len(text) > maxPusherTextBytes {
			return nil, matrix.Errorf(matrix.InvalidParam, "names, lang and profile_tag have at most %d bytes", maxPusherTextBytes)
		}
	}
	if err := json.Unmarshal(q.Kind, &p.Kind); err != nil {
		return nil, matrix.Errorf(matrix.BadJSON, "kind must be a string or null")
	}
	data, err := event.Canonical(q.Data, false)
	if err != nil {
		return nil, err
	}
	if data[0] != '{' {
		return nil, matrix.Errorf(matrix.BadJSON, "data must be an object")
	}
	if len(data) > maxPusherDataBytes {
		return nil, matrix.Errorf(matrix.InvalidParam, "data has at most %d bytes", maxPusherDataBytes)
	}
	p.Data = data
	return p, nil
}

// checkTarget refuses a pusher that nothing could be sent to.
func (s *Service) checkTarget(ctx context.Context, userID string, p *Pusher) error {
	switch p.Kind {
	case "http":
		return s.checkGateway(p.Data)
	case "email":
		return s.checkEmail(ctx, userID, p)
	}
	return matrix.Errorf(matrix.InvalidParam, `kind must be "http", "email" or null`)
}

// gatewayPath is where push gateways take notifications: push gateway API.
const gatewayPath = "/_matrix/push/v1/notify"

// checkGateway refuses data of an HTTP pusher without a valid URL. Its format is free
// text: an unknown one is the same as none.
func (s *Service) checkGateway(data json.RawMessage) error {
	raw := event.Field(data, "url")
	if matrix.IsNull(raw) {
		return matrix.Errorf(matrix.MissingParam, "Missing parameters: data.url")
	}
	address, isText := event.Unquote(raw)
	format := event.Field(data, "format")
	if _, formatIsText := event.Unquote(format); !isText || !formatIsText && !matrix.IsNull(format) {
		return matrix.Errorf(matrix.BadJSON, "data.url and data.format must be strings")
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && !(s.o.PlainHTTP && u.Scheme == "http") || u.Hostname() == "" || u.User != nil || u.EscapedPath() != gatewayPath || u.Fragment != "" {
		return matrix.Errorf(matrix.InvalidParam, "data.url must be an HTTPS URL with the path %s", gatewayPath)
	}
	return nil
}

// checkEmail refuses an e-mail pusher to anywhere but the user's own address.
func (s *Service) checkEmail(ctx context.Context, userID string, p *Pusher) error {
	if p.AppID != "m.email" {
		return matrix.Errorf(matrix.InvalidParam, `app_id of an e-mail pusher must be "m.email"`)
	}
	if address, err := mail.ParseAddress(p.Pushkey); err != nil || address.Address != p.Pushkey {
		return matrix.Errorf(matrix.InvalidParam, "pushkey of an e-mail pusher must be an e-mail address")
	}
	owns, err := s.OwnsEmail(ctx, userID, p.Pushkey)
	if err != nil {
		return err
	}
	if !owns {
		return matrix.Errorf(threepidNotFound, "this e-mail address does not belong to your account")
	}
	return nil
}
