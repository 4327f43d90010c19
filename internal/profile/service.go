package profile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth/account"
	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/postgres"
)

// The fields that the specification defines.
const (
	DisplayName = "displayname"
	AvatarURL   = "avatar_url"
	TimeZone    = "m.tz"
)

// Limits of profiles.
const (
	MaxProfileBytes     = 64 << 10 // of the whole, as JSON; it must stay below
	MaxNameBytes        = 255      // of the name of a field
	MaxDisplayNameRunes = 256
	MaxAvatarURLBytes   = 1000
	maxTimeZoneBytes    = 255
)

// The codes that only profiles answer with.
const (
	tooLarge    matrix.Code = "M_PROFILE_TOO_LARGE"
	keyTooLarge matrix.Code = "M_KEY_TOO_LARGE"
)

// Profile is a user's profile. Empty texts are fields that are not set.
type Profile struct {
	DisplayName string
	AvatarURL   string
	Fields      map[string]json.RawMessage // all other fields, by name
}

// MarshalJSON writes the profile as one flat object.
func (p Profile) MarshalJSON() ([]byte, error) {
	all := make(map[string]any, len(p.Fields)+2)
	for name, value := range p.Fields {
		all[name] = value
	}
	if p.DisplayName != "" {
		all[DisplayName] = p.DisplayName
	}
	if p.AvatarURL != "" {
		all[AvatarURL] = p.AvatarURL
	}
	return matrix.EncodeJSON(all)
}

// Service holds the rules of profiles. It is safe for concurrent use once
// OnChange has been called for the last time.
type Service struct {
	pool     *pgxpool.Pool
	journal  *journal.Journal
	damage   *postgres.Damage
	ask      func(ctx context.Context, userID string) (exists bool, err error)
	onChange []func(ctx context.Context, userID string, p Profile) error
	count    func(ctx context.Context, userID string) (ratelimit.Claims, error)
}

// New makes a Service on a migrated database, before the journal is started. Without a
// journal, changes are left for another process to announce.
func New(pool *pgxpool.Pool, j *journal.Journal) *Service {
	s := &Service{pool: pool, journal: j}
	if j != nil {
		j.Handle(kindChange, s.announce)
	}
	return s
}

// ReportTo sets where profiles that cannot be read are logged. It is meant for wiring,
// before the first request.
func (s *Service) ReportTo(damage *postgres.Damage) { s.damage = damage }

// OnMissing sets the function that is asked for a user who does not exist, and reports whether
// the user does now. It is meant for wiring, before the first request.
func (s *Service) OnMissing(ask func(ctx context.Context, userID string) (exists bool, err error)) {
	s.ask = ask
}

// Get returns a user's whole profile, which may be empty. M_NOT_FOUND for a user who
// doesn't exist here. Anybody may ask. GET /profile/{userId}.
func (s *Service) Get(ctx context.Context, userID string) (Profile, error) {
	if _, _, err := matrix.ParseUserID(userID); err != nil {
		return Profile{}, err
	}
	p, found, err := s.load(ctx, userID)
	if err != nil || found {
		return p, err
	}
	exists, err := account.Exists(ctx, s.pool, userID)
	if err != nil {
		return Profile{}, err
	}
	if !exists && s.ask != nil {
		if exists, err = s.ask(ctx, userID); err != nil {
			return Profile{}, err
		}
		if exists {
			p, _, err = s.load(ctx, userID)
			return p, err
		}
	}
	if !exists {
		return Profile{}, matrix.Errorf(matrix.NotFound, "there is no such user")
	}
	return Profile{}, nil
}

// Many returns the names and avatars of those of the users who have set anything, by
// user ID, without their other fields.
func (s *Service) Many(ctx context.Context, userIDs []string) (map[string]Profile, error) {
	if len(userIDs) == 0 {
		return nil, nil
	}
	return s.loadMany(ctx, userIDs)
}

// Field returns the value of one field of a profile. M_NOT_FOUND for a user who doesn't
// exist here and for a field that isn't set. Anybody may ask. GET
// /profile/{userId}/{keyName}.
func (s *Service) Field(ctx context.Context, userID, name string) (json.RawMessage, error) {
	p, err := s.Get(ctx, userID)
	if err != nil {
		return nil, err
	}
	var text string
	switch name {
	case DisplayName:
		text = p.DisplayName
	case AvatarURL:
		text = p.AvatarURL
	default:
		value, ok := p.Fields[name]
		if !ok {
			return nil, errNoField
		}
		return value, nil
	}
	if text == "" {
		return nil, errNoField
	}
	return matrix.EncodeJSON(text)
}

var errNoField = &matrix.Error{Code: matrix.NotFound, Message: "the profile has no such field"}

// Set sets a field of one's own profile to a value, which is any JSON for the fields
// that the specification doesn't know. An empty display name or avatar is the same as
// none. M_FORBIDDEN for anybody else's profile; M_INVALID_PARAM for a name or a value
// that can't be; M_BAD_JSON for a value of the wrong type, and the other errors of
// [event.CanonicalOfAnySize]; M_KEY_TOO_LARGE and M_PROFILE_TOO_LARGE beyond the limits. PUT /profile/{userId}/{keyName}.
func (s *Service) Set(ctx context.Context, who matrix.Session, userID, name string, value json.RawMessage) error {
	if err := mayChange(who, userID, name); err != nil {
		return err
	}
	value, err := event.CanonicalOfAnySize(value)
	if err != nil {
		return err
	}
	var text string
	switch name {
	case DisplayName, AvatarURL, TimeZone:
		if text, err = textField(name, value); err != nil {
			return err
		}
	}
	return s.change(ctx, userID, name, func(p *Profile) {
		switch name {
		case DisplayName:
			p.DisplayName = text
		case AvatarURL:
			p.AvatarURL = text
		default:
			p.Fields[name] = value
		}
	})
}

// Delete removes a field from one's own profile; it is no error if it isn't there.
// M_FORBIDDEN for anybody else's profile, M_INVALID_PARAM for a name that can't be.
// DELETE /profile/{userId}/{keyName}.
func (s *Service) Delete(ctx context.Context, who matrix.Session, userID, name string) error {
	if err := mayChange(who, userID, name); err != nil {
		return err
	}
	return s.change(ctx, userID, name, func(p *Profile) {
		switch name {
		case DisplayName:
			p.DisplayName = ""
		case AvatarURL:
			p.AvatarURL = ""
		default:
			delete(p.Fields, name)
		}
	})
}

// Erase empties the profile of a user who is to be erased. The hooks are not called,
// since the user has left all rooms.
func (s *Service) Erase(ctx context.Context, userID string) error {
	return remove(ctx, s.pool, userID)
}

// change applies one change under the lock of the profile's row, and has the
// hooks called. That they are to be called is committed with it.
func (s *Service) change(ctx context.Context, userID, name string, apply func(*Profile)) error {
	shown := name == DisplayName || name == AvatarURL
	var claims ratelimit.Claims
	var err error
	if shown && s.count != nil {
		if claims, err = s.count(ctx, userID); err != nil {
			return err
		}
	}
	var posted int64
	changed := false
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
		if changed, err = s.apply(ctx, tx, userID, apply); err != nil || !shown {
			return err
		}
		posted, err = journal.Post(ctx, tx, kindChange, []journal.Topic{{User: userID}}, nil)
		return err
	})
	if err != nil || !changed {
		claims.GiveBack()
	}
	if err != nil {
		return fmt.Errorf("change the profile of %s: %w", userID, err)
	}
	if !shown || s.journal == nil {
		return nil
	}
	return s.journal.Settle(ctx, posted)
}

// apply changes a profile, and reports whether it is another one now.
func (s *Service) apply(ctx context.Context, tx pgx.Tx, userID string, apply func(*Profile)) (changed bool, err error) {
	p, err := s.lock(ctx, tx, userID)
	if err != nil {
		return false, err
	}
	before, err := matrix.EncodeJSON(p)
	if err != nil {
		return false, err
	}
	apply(&p)
	after, err := matrix.EncodeJSON(p)
	if err != nil {
		return false, err
	}
	// A profile over the limit may still be made smaller.
	if len(after) >= MaxProfileBytes && len(after) > len(before) {
		return false, matrix.Errorf(tooLarge, "The whole profile must stay below %d bytes", MaxProfileBytes)
	}
	return !bytes.Equal(before, after), store(ctx, tx, userID, p)
}

// mayChange checks whose profile it is and the name of the field.
func mayChange(who matrix.Session, userID, name string) error {
	if userID != who.UserID {
		return matrix.Errorf(matrix.Forbidden, "only the owner of a profile may change it")
	}
	return checkName(name)
}

// checkName refuses names of fields outside the grammar: appendices, "Common
// Namespaced Identifier Grammar". A name of one's own needs a namespace.
func checkName(name string) error {
	if len(name) > MaxNameBytes {
		return matrix.Errorf(keyTooLarge, "The name of a field may have %d bytes at most", MaxNameBytes)
	}
	if name == DisplayName || name == AvatarURL {
		return nil
	}
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z'
		other := c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
		if !letter && (i == 0 || !other) {
			return errName
		}
	}
	if first, rest, dotted := strings.Cut(name, "."); !dotted || first == "" || rest == "" {
		return errName
	}
	return nil
}

var errName = &matrix.Error{
	Code:    matrix.InvalidParam,
	Message: "the name of a field must be displayname, avatar_url or of the form com.example.name",
}

// textField checks the value of a field that the specification knows. The URI of an
// avatar may be of any kind, as on other servers: one that is no mxc:// URI shows
// nothing.
func textField(name string, value json.RawMessage) (string, error) {
	var text *string
	if err := json.Unmarshal(value, &text); err != nil || text == nil {
		return "", matrix.Errorf(matrix.BadJSON, "%s must be a string", name)
	}
	switch {
	case strings.IndexByte(*text, 0) >= 0:
		return "", matrix.Errorf(matrix.InvalidParam, "%s must not hold a NUL character", name)
	case name == DisplayName && utf8.RuneCountInString(*text) > MaxDisplayNameRunes:
		return "", matrix.Errorf(matrix.InvalidParam, "a display name may have %d characters at most", MaxDisplayNameRunes)
	case name == AvatarURL && len(*text) > MaxAvatarURLBytes:
		return "", matrix.Errorf(matrix.InvalidParam, "an avatar's URI may have %d bytes at most", MaxAvatarURLBytes)
	case name == TimeZone && len(*text) > maxTimeZoneBytes:
		return "", matrix.Errorf(matrix.InvalidParam, "a time zone may have %d bytes at most", maxTimeZoneBytes)
	}
	return *text, nil
}
