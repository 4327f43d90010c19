package threepid

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"homeserver/internal/matrix"
)

// Contact is an address of an account. Times are in milliseconds since the epoch.
// Client-server API, GET /account/3pid.
type Contact struct {
	Address
	ValidatedAt int64 `json:"validated_at"`
	AddedAt     int64 `json:"added_at"`
}

// List lists the addresses of a user, in the order in which they were added.
// Client-server API, GET /account/3pid.
func (s *Service) List(ctx context.Context, userID string) ([]Contact, error) {
	return listAddresses(ctx, s.o.Pool, userID)
}

// Owner returns the user who has an address; "" if none has.
func (s *Service) Owner(ctx context.Context, a Address) (userID string, err error) {
	return findOwner(ctx, s.o.Pool, a)
}

// maxCredentials bounds the credentials of one request.
const maxCredentials = 10

// Resolve separates the credentials of POST /account/3pid: proved are addresses that
// sessions of this server have proved, to be claimed; elsewhere are credentials that
// this server does not know and that name an identity server, for Bind, as the endpoint
// only binds today. Client-server API, POST /account/3pid.
//
// M_MISSING_PARAM, M_THREEPID_AUTH_FAILED where an address is not confirmed.
func (s *Service) Resolve(ctx context.Context, list CredentialsList) (proved []Validated, elsewhere []Credentials, err error) {
	if len(list) == 0 || len(list) > maxCredentials {
		return nil, nil, matrix.Errorf(matrix.MissingParam, "three_pid_creds is missing, or has more than %d items", maxCredentials)
	}
	for _, c := range list {
		v, err := s.Validated(ctx, ForAccount, c)
		if err == nil {
			proved = append(proved, v)
			continue
		}
		if !matrix.IsCode(err, matrix.ThreepidAuthFailed) || c.IDServer == "" || c.IDAccessToken == "" {
			return nil, nil, err
		}
		ours, lookup := findSession(ctx, s.o.Pool, c.SID, "")
		if lookup != nil {
			return nil, nil, lookup
		}
		if ours.sid != "" {
			return nil, nil, err
		}
		elsewhere = append(elsewhere, c)
	}
	return proved, elsewhere, nil
}

// Binding is an address that was bound at an identity server.
type Binding struct {
	Address
	IDServer string
}

// Bind binds an address to a user at the identity server where it was proved, and
// remembers that. All credentials are required. Client-server API, POST
// /account/3pid/bind.
//
// M_MISSING_PARAM, M_SERVER_NOT_TRUSTED for a server that is not configured,
// M_THREEPID_AUTH_FAILED if it does not know the access token, M_UNKNOWN with status
// 502 if it can't be reached or its answer is invalid; else its own error.
func (s *Service) Bind(ctx context.Context, userID string, c Credentials) error {
	if c.SID == "" || c.ClientSecret == "" || c.IDServer == "" || c.IDAccessToken == "" {
		return matrix.Errorf(matrix.MissingParam, "sid, client_secret, id_server and id_access_token are needed")
	}
	server, err := s.identity.client.Find(c.IDServer)
	if err != nil {
		return err
	}
	address, err := s.identity.bind(ctx, server, userID, c)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		return insertBinding(ctx, tx, userID, Binding{address, server.Name}, s.nowMS())
	})
	if err != nil {
		return fmt.Errorf("store a binding: %w", err)
	}
	return nil
}

// Removal is the body of POST /account/3pid/delete and POST /account/3pid/unbind.
type Removal struct {
	Medium   string `json:"medium"`
	Address  string `json:"address"`
	IDServer string `json:"id_server"`
}

// The values of id_server_unbind_result.
const (
	Unbound   = "success"
	NoSupport = "no-support"
)

// UnbindResult returns the value of id_server_unbind_result.
func UnbindResult(ok bool) string {
	if ok {
		return Unbound
	}
	return NoSupport
}

// Delete removes an address from a user, who need not have it, and unbinds it where it
// is bound, if the identity server supports that. It returns id_server_unbind_result.
// The address and the others of the account get a message. M_MISSING_PARAM,
// M_INVALID_PARAM. Client-server API, POST /account/3pid/delete.
func (s *Service) Delete(ctx context.Context, userID string, r Removal) (string, error) {
	address, err := r.address()
	if err != nil {
		return "", err
	}
	had, err := deleteAddress(ctx, s.o.Pool, userID, address)
	if err != nil {
		return "", err
	}
	if had {
		s.notify(ctx, removedNotice(userID, address))
	}
	bound, err := s.boundAt(ctx, userID, address, r.IDServer)
	if err != nil {
		return "", err
	}
	return UnbindResult(len(bound) > 0 && s.unbindEach(ctx, userID, bound) == nil), nil
}

// Unbind unbinds an address of a user at the identity server given, or where it is
// bound. It returns id_server_unbind_result, which is no-support where that is not
// known. An error of the identity server is given on, as by Bind. Client-server API,
// POST /account/3pid/unbind; identity service API, POST /3pid/unbind.
func (s *Service) Unbind(ctx context.Context, userID string, r Removal) (string, error) {
	address, err := r.address()
	if err != nil {
		return "", err
	}
	bound, err := s.boundAt(ctx, userID, address, r.IDServer)
	if err != nil || len(bound) == 0 {
		return NoSupport, err
	}
	switch err := s.unbindEach(ctx, userID, bound); {
	case err == nil:
		return Unbound, nil
	case matrix.IsCode(err, matrix.Unrecognized):
		return NoSupport, nil
	default:
		return "", err
	}
}

func (r Removal) address() (Address, error) {
	if r.Medium == "" || r.Address == "" {
		return Address{}, matrix.Errorf(matrix.MissingParam, "medium and address are needed")
	}
	return Canonical(r.Medium, r.Address)
}

// boundAt lists where an address is to be unbound: at the server named, or where it
// is known to be bound.
func (s *Service) boundAt(ctx context.Context, userID string, a Address, named string) ([]Binding, error) {
	if named != "" {
		server, err := s.identity.client.Find(named)
		return []Binding{{a, server.Name}}, err
	}
	all, err := listBindings(ctx, s.o.Pool, userID)
	return slices.DeleteFunc(all, func(b Binding) bool { return b.Address != a }), err
}

// RemoveAll removes all addresses of a user, in the transaction that ends the account,
// and returns their bindings, for UnbindAll after it.
func (s *Service) RemoveAll(ctx context.Context, tx pgx.Tx, userID string) ([]Binding, error) {
	return deleteAll(ctx, tx, userID)
}

// UnbindAll unbinds addresses of a user, at the identity server given or each where
// it is bound, and returns id_server_unbind_result. Client-server API,
// POST /account/deactivate.
func (s *Service) UnbindAll(ctx context.Context, userID string, bound []Binding, named string) string {
	if named != "" {
		server, err := s.identity.client.Find(named)
		if err != nil {
			return UnbindResult(len(bound) == 0)
		}
		bound = slices.Clone(bound)
		for i := range bound {
			bound[i].IDServer = server.Name
		}
	}
	return UnbindResult(s.unbindEach(ctx, userID, bound) == nil)
}

// unbindsAtOnce bounds the connections to identity servers that one request makes.
const unbindsAtOnce = 4

// unbindEach unbinds and forgets each of the bindings, and returns the first error.
func (s *Service) unbindEach(ctx context.Context, userID string, bound []Binding) error {
	var g errgroup.Group
	g.SetLimit(unbindsAtOnce)
	for _, b := range bound {
		g.Go(func() error {
			server, err := s.identity.client.Find(b.IDServer)
			if err != nil {
				return err
			}
			if err := s.identity.unbind(ctx, server, userID, b.Address); err != nil {
				return err
			}
			return deleteBinding(ctx, s.o.Pool, userID, b)
		})
	}
	return g.Wait()
}
