package appservice

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

const (
	callUser = "user"
	callRoom = "room"

	// queryTimeout is how long a service may take to make what it is asked for. The one who
	// wants it waits meanwhile, and nobody else.
	queryTimeout = 10 * time.Second
	// queryAttempts is how often a service is asked that can't be reached, and queryPause is
	// what lies between.
	queryAttempts = 3
	queryPause    = 500 * time.Millisecond
	// maxQueries is how many questions wait for services at once, and maxQueriesEach how many
	// of one caller.
	maxQueries     = 100
	maxQueriesEach = 10
	// maxInvited is how many users services are asked about for one request, and invitedAtOnce
	// how many of these at once.
	maxInvited    = 20
	invitedAtOnce = 5
)

// AskUser asks the services that have namespaces for a user who does not exist, so that one can
// make it, and reports whether one says that the user exists now. 408 M_UNKNOWN where a service
// could not be reached; M_LIMIT_EXCEEDED. Application Service API, "Querying".
func (s *Service) AskUser(ctx context.Context, userID string) (exists bool, err error) {
	return s.ask(ctx, callUser, "/users/"+url.PathEscape(userID), func(r *registration.Registration) bool { return r.OwnsUser(userID) })
}

// AskAlias does the same for a room alias.
func (s *Service) AskAlias(ctx context.Context, alias string) (exists bool, err error) {
	return s.ask(ctx, callRoom, "/rooms/"+url.PathEscape(alias), func(r *registration.Registration) bool { return r.OwnsAlias(alias) })
}

// AskInvited asks for those of the users, who are about to be invited, that do not exist and
// that services have namespaces for, up to twenty. They are invited whatever the answers are.
func (s *Service) AskInvited(ctx context.Context, userIDs []string) {
	possible := slices.DeleteFunc(slices.Clone(userIDs), func(userID string) bool {
		return !slices.ContainsFunc(s.o.Registrations, func(r *registration.Registration) bool { return r.OwnsUser(userID) })
	})
	if len(possible) == 0 {
		return
	}
	existing, err := s.o.Existing(ctx, possible)
	if err != nil {
		s.o.Log.WarnContext(ctx, "application services are not asked for users who are invited", "error", err)
		return
	}
	var asking errgroup.Group
	asking.SetLimit(invitedAtOnce)
	asked := 0
	for _, userID := range possible {
		if slices.Contains(existing, userID) || asked == maxInvited {
			continue
		}
		asked++
		asking.Go(func() error {
			if _, err := s.AskUser(ctx, userID); err != nil {
				s.o.Log.DebugContext(ctx, "an application service did not make a user who is invited", "user", userID, "error", err)
			}
			return nil
		})
	}
	_ = asking.Wait() // nothing above returns an error
}

// ask asks the services of a namespace one after the other, but for the one that asks itself:
// it may look up what it is making.
func (s *Service) ask(ctx context.Context, name, path string, owns func(*registration.Registration) bool) (exists bool, err error) {
	silent := false
	for _, r := range s.o.Registrations {
		if r.URL == "" || r.ID == matrix.AppServiceOf(ctx).ID || !owns(r) {
			continue
		}
		status, err := s.query(ctx, r, name, path)
		switch {
		case err != nil && matrix.IsCode(err, matrix.LimitExceeded):
			return false, err
		case err != nil:
			silent = true
		case status == http.StatusOK:
			return true, nil
		}
	}
	if silent {
		return false, &matrix.Error{Code: matrix.Unknown, Status: http.StatusRequestTimeout, Message: "the application service that this belongs to did not answer in time"}
	}
	return false, nil
}

// query asks one service, several times if it can't be reached, and returns the status of its
// answer.
func (s *Service) query(ctx context.Context, r *registration.Registration, name, path string) (status int, err error) {
	if payer := matrix.Payer(ctx); payer != "" {
		if _, err := s.o.Limits.Take(ratelimit.Searches, payer); err != nil {
			return 0, err
		}
	}
	caller := matrix.Caller(ctx)
	if err := s.queries.TryEnter(caller, 1); err != nil {
		return 0, err
	}
	defer s.queries.Leave(caller, 1)
	ctx, cancel := context.WithTimeout(ctx, s.o.patience(queryTimeout))
	defer cancel()
	for attempt := 1; ; attempt++ {
		answer, err := s.Call(ctx, r, Call{Name: name, Method: http.MethodGet, Path: "/_matrix/app/v1" + path, Legacy: path})
		if err == nil {
			if !answer.OK() && answer.Status != http.StatusNotFound {
				s.o.Log.WarnContext(ctx, "an application service has refused a question", "app_service", r.ID, "call", name, "status", answer.Status)
			}
			return answer.Status, nil
		}
		if attempt == queryAttempts || ctx.Err() != nil {
			s.o.Log.WarnContext(ctx, "an application service does not answer", "app_service", r.ID, "call", name, "error", err)
			return 0, err
		}
		select {
		case <-time.After(min(queryPause, s.o.patience(queryTimeout)/queryAttempts)):
		case <-ctx.Done():
		}
	}
}
