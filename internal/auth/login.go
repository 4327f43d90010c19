package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/session"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
)

// Identifier names a user in one of several ways. Client-server API, "Identifier
// types".
type Identifier struct {
	Type    string `json:"type"`
	User    string `json:"user"`
	Medium  string `json:"medium"`
	Address string `json:"address"`
	Country string `json:"country"`
	Phone   string `json:"phone"`
	// Number is the former name of Phone.
	Number string `json:"number"`
}

// LoginRequest is the body of POST /login. User, Medium and Address are the
// deprecated forms of Identifier.
type LoginRequest struct {
	Type                     string      `json:"type"`
	Identifier               *Identifier `json:"identifier"`
	User                     string      `json:"user"`
	Medium                   string      `json:"medium"`
	Address                  string      `json:"address"`
	Password                 string      `json:"password"`
	Token                    string      `json:"token"`
	DeviceID                 string      `json:"device_id"`
	InitialDeviceDisplayName string      `json:"initial_device_display_name"`
	RefreshToken             bool        `json:"refresh_token"`
}

// LoginByToken is the type of a login by a token that LoginToken has made.
const LoginByToken = "m.login.token" //nolint:gosec // G101: the name of it, not a secret

// LoginTypes lists the values that the type of a LoginRequest may have, for
// GET /login.
func (s *Service) LoginTypes() []string {
	if s.o.NoPasswordLogin {
		return []string{LoginByToken}
	}
	return []string{uia.StagePassword, LoginByToken}
}

// Login checks a password, or a token for this, and logs a device in: the one named
// by device_id, whose earlier tokens become void, or a new one. Client-server API,
// POST /login.
//
// M_FORBIDDEN for a wrong user, password or token, M_USER_DEACTIVATED, M_USER_LOCKED,
// M_LIMIT_EXCEEDED, M_UNKNOWN for another type of login, M_MISSING_PARAM,
// M_INVALID_PARAM.
func (s *Service) Login(ctx context.Context, r LoginRequest, client matrix.Client) (session.Credentials, error) {
	device := session.NewDevice{ID: r.DeviceID, DisplayName: r.InitialDeviceDisplayName, Refreshable: r.RefreshToken}
	switch r.Type {
	case uia.StagePassword:
		if s.o.NoPasswordLogin {
			return session.Credentials{}, matrix.Errorf(matrix.Forbidden, "Apps cannot log in by a password here: sign in in a browser")
		}
		return s.loginByPassword(ctx, r, device, client)
	case LoginByToken:
		return s.Sessions.LogIn(ctx, r.Token, device, client)
	case "":
		return session.Credentials{}, matrix.Errorf(matrix.MissingParam, "type is missing")
	default:
		return session.Credentials{}, matrix.Errorf(matrix.Unknown, "This type of login is not supported")
	}
}

func (s *Service) loginByPassword(ctx context.Context, r LoginRequest, device session.NewDevice, client matrix.Client) (session.Credentials, error) {
	name, err := readName(r.Identifier, r.User, r.Medium, r.Address)
	if err != nil {
		return session.Credentials{}, err
	}
	if err := device.Check(); err != nil {
		return session.Credentials{}, err
	}
	var made login
	if _, err := s.withPassword(ctx, name, r.Password, s.begin(ctx, &made, device, client)); err != nil {
		return session.Credentials{}, err
	}
	s.Sessions.Revoke(made.revoked)
	return made.Credentials, nil
}

// login is what a login has made, and which access tokens are void by it.
type login struct {
	session.Credentials
	revoked session.Revoked
}

// begin returns the function that logs a device in to a locked account.
func (s *Service) begin(ctx context.Context, made *login, device session.NewDevice, client matrix.Client) func(pgx.Tx, string) error {
	return func(tx pgx.Tx, userID string) (err error) {
		made.Credentials, made.revoked, err = s.Sessions.Begin(ctx, tx, userID, device, client)
		return err
	}
}

// logIn logs a device in to an account that was read, unless that has changed since then.
func (s *Service) logIn(ctx context.Context, a account.Account, device session.NewDevice, client matrix.Client) (session.Credentials, error) {
	var made login
	if err := s.inAccount(ctx, a, "", s.begin(ctx, &made, device, client)); err != nil {
		return session.Credentials{}, err
	}
	s.Sessions.Revoke(made.revoked)
	return made.Credentials, nil
}

// WithPassword checks a password as POST /login does, for a user named by user ID, by the local
// part of one, or by an e-mail address, and calls a function in a transaction in which the
// account is locked. It returns the user ID. M_FORBIDDEN for a wrong user or password,
// M_USER_DEACTIVATED, M_LIMIT_EXCEEDED, M_MISSING_PARAM, and the errors of the function.
func (s *Service) WithPassword(ctx context.Context, user, password string, do func(tx pgx.Tx, userID string) error) (string, error) {
	id := &Identifier{Type: "m.id.user", User: user}
	if strings.IndexByte(user, '@') > 0 {
		id = &Identifier{Type: "m.id.thirdparty", Medium: "email", Address: user}
	}
	name, err := readName(id, "", "", "")
	if err != nil {
		return "", err
	}
	return s.withPassword(ctx, name, password, do)
}

func (s *Service) withPassword(ctx context.Context, name userName, password string, do func(tx pgx.Tx, userID string) error) (string, error) {
	userID, err := s.checkAndDo(ctx, name, password, do)
	if errors.Is(err, errHashChanged) {
		// By another login, most often, which has hashed the same password anew.
		return s.checkAndDo(ctx, name, password, do)
	}
	return userID, err
}

func (s *Service) checkAndDo(ctx context.Context, name userName, password string, do func(tx pgx.Tx, userID string) error) (string, error) {
	a, outdated, err := s.checkPassword(ctx, name, password)
	if err != nil {
		return "", err
	}
	rehashed := ""
	if outdated {
		if rehashed, err = s.hasher.hash(ctx, preparePassword(password)); err != nil {
			return "", err
		}
	}
	return a.UserID, s.inAccount(ctx, a, rehashed, do)
}

// errHashChanged is the answer where the password is not known to be right any more.
var errHashChanged = errLogin()

// inAccount calls a function with the account locked whose password has been checked; errHashChanged
// if the hash that it was checked by has changed since then.
func (s *Service) inAccount(ctx context.Context, checked account.Account, rehashed string, do func(tx pgx.Tx, userID string) error) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		now, err := account.Lock(ctx, tx, checked.UserID)
		if err != nil {
			return err
		}
		if now.Deactivated || now.PasswordHash != checked.PasswordHash {
			return errHashChanged
		}
		if now.Locked {
			return matrix.ErrLocked()
		}
		if rehashed != "" {
			if err := account.SetPassword(ctx, tx, checked.UserID, rehashed); err != nil {
				return err
			}
		}
		return do(tx, checked.UserID)
	})
	if err != nil {
		return fmt.Errorf("log in %s: %w", checked.UserID, err)
	}
	return nil
}

// userName is how somebody names a user: by user ID or the local part of one, or by
// a third-party identifier.
type userName struct {
	name    string
	address threepid.Address
}

// readName returns the name of a user in the identifier that a client sent.
// M_MISSING_PARAM, M_INVALID_PARAM for other types. A text that is no address is the
// name of nobody.
func readName(id *Identifier, user, medium, address string) (userName, error) {
	if id == nil {
		id = &Identifier{User: user, Medium: medium, Address: address}
		if user != "" {
			id.Type = "m.id.user"
		}
	}
	thirdParty := id.Type == "" && (id.Medium != "" || id.Address != "")
	switch {
	case id.Type == "m.id.user" && id.User == "":
		return userName{}, matrix.Errorf(matrix.MissingParam, "The name of the user is missing")
	case id.Type == "m.id.user":
		return userName{name: id.User}, nil
	case id.Type == "m.id.thirdparty", thirdParty:
		return addressOrNobody(threepid.Canonical(id.Medium, id.Address)), nil
	case id.Type == "m.id.phone":
		return addressOrNobody(threepid.CanonicalPhone(id.Country, cmp.Or(id.Phone, id.Number))), nil
	case id.Type == "":
		return userName{}, matrix.Errorf(matrix.MissingParam, "identifier is missing")
	default:
		return userName{}, matrix.Errorf(matrix.InvalidParam, "This type of identifier is not supported")
	}
}

func addressOrNobody(a threepid.Address, err error) userName {
	if err != nil {
		a = threepid.Address{Medium: "none"}
	}
	return userName{address: a}
}

// accountKey returns the key by which a user name is counted, in whichever case it was
// typed.
func accountKey(userID string) string { return strings.ToLower(userID) }

// candidates lists the user IDs that a name may mean, the likelier first, and the key
// by which wrong passwords for it are counted. For a name that nobody has the user ID
// is "", which nobody has either. M_FORBIDDEN for a user of another server.
func (s *Service) candidates(ctx context.Context, n userName) (userIDs []string, key string, err error) {
	if n.address == (threepid.Address{}) {
		userIDs, err = s.localUserIDs(n.name)
		if err != nil {
			return nil, "", err
		}
		return userIDs, accountKey(userIDs[len(userIDs)-1]), nil
	}
	owner, err := s.o.Threepids.Owner(ctx, n.address)
	if err != nil {
		return nil, "", err
	}
	// The counting must not show whether anybody has the address.
	return []string{owner}, accountKey(cmp.Or(owner, n.address.Medium+":"+n.address.Address)), nil
}
