package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/account"
	"homeserver/internal/auth/secret"
	"homeserver/internal/clock"
)

// recheckPause is the pause before tokens are looked up again where the database was
// away.
const recheckPause = time.Second

// errTokenEnded ends the waiting of a request whose token may not be good any more.
var errTokenEnded = errors.New("the access token has ended")

// Watch watches the access token of a request that may wait for long: the context that it
// returns ends with the token, at once where this process ends it, and as soon as a message
// of another process arrives. end is to be called when the request has been done. It returns
// M_UNKNOWN_TOKEN, as of [Service.Authenticate], or M_USER_LOCKED, if the client is not to get the result.
func (s *Service) Watch(ctx context.Context, token string) (waiting context.Context, end func() error, err error) {
	waiting, cancel := context.WithCancelCause(ctx)
	w := &watch{hash: secret.HashOf(token), end: cancel}
	s.watches.add(w)
	known, err := s.usable(ctx, token) // once more, so that it cannot have ended between looking and listening
	if err != nil {
		s.watches.remove(w)
		cancel(nil)
		return nil, nil, err
	}
	s.watches.belongsTo(w, known.session.UserID)
	if known.expiresAt != 0 {
		w.expiry = s.o.Clock.AfterFunc(time.UnixMilli(known.expiresAt).Sub(s.o.Now()), func() { cancel(errTokenEnded) })
	}
	return waiting, func() error { return s.unwatch(ctx, waiting, w, token) }, nil
}

// unwatch ends a watch, and returns the error if the token has ended.
func (s *Service) unwatch(ctx, waiting context.Context, w *watch, token string) error {
	s.watches.remove(w)
	if w.expiry != nil {
		w.expiry.Stop()
	}
	_, err := s.usable(ctx, token)
	if err == nil && errors.Is(context.Cause(waiting), errTokenEnded) {
		err = unknownToken(true) // a moment before the clock says so
	}
	w.end(nil)
	return err
}

// watch is a request that waits, by the token that it came with.
type watch struct {
	hash   secret.Hash
	userID string // empty until it is known
	end    context.CancelCauseFunc
	expiry *clock.Timer // nil: the token has none
}

// watches are all requests that wait, and those of them whose token is to be looked up.
type watches struct {
	mu       sync.Mutex
	waiting  map[*watch]struct{}
	byToken  map[secret.Hash][]*watch
	suspects map[secret.Hash]struct{}
	// suspected signals to the worker that there are suspects.
	suspected chan struct{}
}

func newWatches() *watches {
	return &watches{
		waiting:   map[*watch]struct{}{},
		byToken:   map[secret.Hash][]*watch{},
		suspects:  map[secret.Hash]struct{}{},
		suspected: make(chan struct{}, 1),
	}
}

func (ws *watches) add(w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.waiting[w] = struct{}{}
	ws.byToken[w.hash] = append(ws.byToken[w.hash], w)
}

func (ws *watches) remove(w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.waiting, w)
	others := slices.DeleteFunc(ws.byToken[w.hash], func(other *watch) bool { return other == w })
	if ws.byToken[w.hash] = others; len(others) == 0 {
		delete(ws.byToken, w.hash)
	}
}

func (ws *watches) belongsTo(w *watch, userID string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w.userID = userID
}

// end ends the waiting of those whose tokens have been revoked.
func (ws *watches) end(hashes []secret.Hash) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, hash := range hashes {
		for _, w := range ws.byToken[hash] {
			w.end(errTokenEnded)
		}
	}
}

// suspect has the tokens of a user looked up that requests wait with; "": of all users.
func (ws *watches) suspect(userID string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.waiting {
		if userID == "" || w.userID == "" || w.userID == userID {
			ws.suspects[w.hash] = struct{}{}
		}
	}
	if len(ws.suspects) > 0 {
		ws.signal()
	}
}

func (ws *watches) signal() {
	select {
	case ws.suspected <- struct{}{}:
	default:
	}
}

// take returns the suspects, and empties their list.
func (ws *watches) take() []secret.Hash {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	hashes := make([]secret.Hash, 0, len(ws.suspects))
	for hash := range ws.suspects {
		hashes = append(hashes, hash)
	}
	clear(ws.suspects)
	return hashes
}

// giveBack makes them suspects again.
func (ws *watches) giveBack(hashes []secret.Hash) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, hash := range hashes {
		ws.suspects[hash] = struct{}{}
	}
	ws.signal()
}

// Recheck ends the requests whose tokens another process has revoked, until the
// context is over.
func (s *Service) Recheck(ctx context.Context) {
	for {
		select {
		case <-s.watches.suspected:
		case <-ctx.Done():
			return
		}
		hashes := s.watches.take()
		ended, err := revokedAmong(ctx, s.o.Pool, hashes)
		if err == nil {
			s.watches.end(ended)
			continue
		}
		if !errors.Is(err, context.Canceled) {
			s.o.Log.Error("background work on sessions", "error", err)
		}
		s.watches.giveBack(hashes)
		select {
		case <-time.After(recheckPause):
		case <-ctx.Done():
		}
	}
}

// revokedAmong returns those of the access tokens that are not good any more.
func revokedAmong(ctx context.Context, q account.Querier, hashes []secret.Hash) ([]secret.Hash, error) {
	rows, err := q.Query(ctx, `
		SELECT asked.hash FROM unnest($1::bytea[]) AS asked (hash)
		WHERE NOT EXISTS (
			SELECT FROM access_tokens t JOIN accounts a USING (user_id)
			WHERE t.token_hash = asked.hash AND t.void_at IS NULL AND a.deactivated_at IS NULL AND a.locked_at IS NULL OFFSET 0)`, hashBytes(hashes))
	if err != nil {
		return nil, fmt.Errorf("look up the tokens of waiting requests: %w", err)
	}
	revoked, err := pgx.CollectRows(rows, scanTokenHash)
	if err != nil {
		return nil, fmt.Errorf("look up the tokens of waiting requests: %w", err)
	}
	return revoked, nil
}

func hashBytes(hashes []secret.Hash) [][]byte {
	list := make([][]byte, len(hashes))
	for i := range hashes {
		list[i] = hashes[i][:]
	}
	return list
}
