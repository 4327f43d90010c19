package appservice

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/matrix"
)

// The two kinds of things in third-party networks: places and people. Client-server API,
// "Third-party Networks".
const (
	Location = "location"
	User     = "user"
)

const (
	callThirdParty = "thirdparty"

	// lookupTimeout is how long services may take to find something in their networks.
	lookupTimeout = 5 * time.Second
	// lookupsAtOnce is how many services are asked at once for one request.
	lookupsAtOnce = 10
	// maxFound is how many results a look-up has.
	maxFound = 1000
)

// Find looks for places or people in a network, by fields that the services of the protocol
// know, and returns what all of them have found, in no order. A service that does not answer in
// time has found nothing. GET /thirdparty/location/{protocol} and user/{protocol}.
func (s *Service) Find(ctx context.Context, kind, protocol string, fields url.Values) ([]json.RawMessage, error) {
	return s.lookUp(ctx, kind, "/thirdparty/"+kind+"/"+url.PathEscape(protocol), fields, func(r *registration.Registration) bool {
		return slices.Contains(r.Protocols, protocol)
	})
}

// FindByAlias returns the places in third-party networks that a room is, by its alias.
// M_MISSING_PARAM, M_INVALID_PARAM. GET /thirdparty/location.
func (s *Service) FindByAlias(ctx context.Context, alias string) ([]json.RawMessage, error) {
	if alias == "" {
		return nil, matrix.Errorf(matrix.MissingParam, "alias is missing")
	}
	if _, _, err := matrix.ParseRoomAlias(alias); err != nil {
		return nil, err
	}
	return s.lookUp(ctx, Location, "/thirdparty/location", url.Values{"alias": {alias}}, bridges)
}

// FindByUser returns the people in third-party networks that a user is. M_MISSING_PARAM,
// M_INVALID_PARAM. GET /thirdparty/user.
func (s *Service) FindByUser(ctx context.Context, userID string) ([]json.RawMessage, error) {
	if userID == "" {
		return nil, matrix.Errorf(matrix.MissingParam, "userid is missing")
	}
	if _, _, err := matrix.ParseUserID(userID); err != nil {
		return nil, err
	}
	return s.lookUp(ctx, User, "/thirdparty/user", url.Values{"userid": {userID}}, bridges)
}

// bridges reports whether a service has any network.
func bridges(r *registration.Registration) bool { return len(r.Protocols) > 0 }

// lookUp asks all services concerned at once, and gathers their results.
func (s *Service) lookUp(ctx context.Context, kind, path string, query url.Values, concerned func(*registration.Registration) bool) ([]json.RawMessage, error) {
	caller := matrix.Caller(ctx)
	if err := s.queries.TryEnter(caller, 1); err != nil {
		return nil, err
	}
	defer s.queries.Leave(caller, 1)
	ctx, cancel := context.WithTimeout(ctx, s.o.patience(lookupTimeout))
	defer cancel()
	var asking errgroup.Group
	asking.SetLimit(lookupsAtOnce)
	var mu sync.Mutex
	all := []json.RawMessage{}
	for _, r := range s.o.Registrations {
		if r.URL == "" || !concerned(r) {
			continue
		}
		asking.Go(func() error {
			found := s.results(ctx, r, kind, path, query)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, found[:min(len(found), maxFound-len(all))]...)
			return nil
		})
	}
	_ = asking.Wait() // nothing above returns an error
	return all, nil
}

// results returns what one service has found: those of its results that have the form that
// clients expect, as they were sent.
func (s *Service) results(ctx context.Context, r *registration.Registration, kind, path string, query url.Values) []json.RawMessage {
	body, ok := s.thirdParty(ctx, r, path, query)
	if !ok {
		return nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		s.o.Log.WarnContext(ctx, "an application service has answered with no list", "app_service", r.ID, "path", path)
		return nil
	}
	return slices.DeleteFunc(list, func(one json.RawMessage) bool { return !isResult(one, kind) })
}

// isResult reports whether a result has what it must have.
func isResult(raw json.RawMessage, kind string) bool {
	var one struct {
		Alias    string                     `json:"alias"`
		UserID   string                     `json:"userid"`
		Protocol string                     `json:"protocol"`
		Fields   map[string]json.RawMessage `json:"fields"`
	}
	if json.Unmarshal(raw, &one) != nil || one.Protocol == "" || one.Fields == nil {
		return false
	}
	return kind == Location && one.Alias != "" || kind == User && one.UserID != ""
}

// thirdParty asks a service about its networks, and reports whether it has an answer.
func (s *Service) thirdParty(ctx context.Context, r *registration.Registration, path string, query url.Values) (body []byte, ok bool) {
	answer, err := s.Call(ctx, r, Call{
		Name: callThirdParty, Method: http.MethodGet, Path: "/_matrix/app/v1" + path, Legacy: "/_matrix/app/unstable" + path, Query: query,
	})
	switch {
	case err != nil:
		s.o.Log.WarnContext(ctx, "an application service does not answer", "app_service", r.ID, "call", callThirdParty, "error", err)
	case !answer.OK() && answer.Status != http.StatusNotFound:
		s.o.Log.WarnContext(ctx, "an application service has refused a question", "app_service", r.ID, "call", callThirdParty, "status", answer.Status)
	}
	return answer.Body, err == nil && answer.OK()
}
