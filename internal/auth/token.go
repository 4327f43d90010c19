package auth

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/secret"
	"homeserver/internal/cache"
	"homeserver/internal/matrix"
)

const (
	// cacheLifetime is how long another process may go on accepting a token that
	// this one has revoked, where it does not hear of that at once.
	cacheLifetime = 30 * time.Second
)

// Tokens is what a client gets to authenticate with. ExpiresInMS is 0 where the
// access token does not expire, which is so where there is no refresh token.
type Tokens struct {
	AccessToken  string `json:"access_token,omitzero"`
	RefreshToken string `json:"refresh_token,omitzero"`
	ExpiresInMS  int64  `json:"expires_in_ms,omitzero"`
}

// Authenticate tells whose access token this is. It answers from memory in the
// usual case. M_UNKNOWN_TOKEN for any other token, with soft_logout true where it
// has expired, or another has taken its place, and the device still exists.
// Client-server API, "Using access tokens" and "Soft logout".
func (s *Service) Authenticate(ctx context.Context, token string) (matrix.Session, error) {
	known, err := s.authenticate(ctx, token)
	return known.session, err
}

func (s *Service) authenticate(ctx context.Context, token string) (knownToken, error) {
	hash, now := secret.HashOf(token), s.o.Now()
	known, version, ok := s.cache.get(hash, now)
	if !ok {
		var err error
		if known, err = s.loadToken(ctx, hash); err != nil {
			return knownToken{}, err
		}
		s.cache.put(hash, known, version, now)
	}
	if known.expiresAt != 0 && now.UnixMilli() >= known.expiresAt {
		return knownToken{}, unknownToken(true)
	}
	return known, nil
}

// revoke forgets tokens that have been revoked, and ends the requests that wait with
// them. It is called once their removal has been committed, and before anybody is told.
func (s *Service) revoke(hashes []secret.Hash) {
	s.cache.remove(hashes)
	s.watches.end(hashes)
}

// loadToken reads an access token from the database. Where it is the first use of
// a refreshed token, its predecessors are revoked: "Refreshing access tokens".
func (s *Service) loadToken(ctx context.Context, hash secret.Hash) (knownToken, error) {
	row, err := findAccessToken(ctx, s.pool, hash)
	if err != nil {
		return knownToken{}, err
	}
	if !row.hasPredecessor {
		return row.knownToken, nil
	}
	var revoked []secret.Hash
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockDeviceOfAccessToken(ctx, tx, hash); err != nil {
			return err
		}
		if row, err = findAccessToken(ctx, tx, hash); err != nil {
			return err
		}
		revoked, err = revokeBefore(ctx, tx, row.session, row.generation, s.nowMS())
		return err
	})
	if err != nil {
		return knownToken{}, fmt.Errorf("take a refreshed token into use: %w", err)
	}
	s.revoke(revoked)
	return row.knownToken, nil
}

// unknownToken is the answer to a token that is not, or no longer, good. A soft
// logout tells the client that its device still exists.
func unknownToken(soft bool) *matrix.Error {
	err := matrix.Errorf(matrix.UnknownToken, "The access token is unknown or no longer valid")
	if soft {
		err.Message = "The token has expired or was replaced: refresh it, or log in again"
	}
	err.Fields = map[string]any{"soft_logout": soft}
	return err
}

// knownToken is what the cache knows of an access token. expiresAt is in
// milliseconds since the epoch; 0 means never.
type knownToken struct {
	session   matrix.Session
	expiresAt int64
}

// tokenCache keeps the access tokens in use. Each removal raises its version, so
// that what was read before a removal is not put in after it.
type tokenCache struct {
	mu      sync.Mutex
	version uint64
	tokens  *cache.LRU[secret.Hash, cachedToken]
	uses    cache.Uses
}

type cachedToken struct {
	knownToken
	readAt time.Time
}

func newTokenCache(share int) *tokenCache {
	return &tokenCache{tokens: cache.NewLRU(cache.Options[secret.Hash, cachedToken]{
		Share: share,
		Weigh: func(_ secret.Hash, t cachedToken) int { return cache.Text(t.session.UserID, t.session.DeviceID) },
	})}
}

// get returns a token that was read a short time ago. The version is to be handed
// to put.
func (c *tokenCache) get(hash secret.Hash, now time.Time) (known knownToken, version uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cached, ok := c.tokens.Get(hash)
	ok = ok && now.Sub(cached.readAt) < cacheLifetime
	c.uses.Count(ok)
	if !ok {
		return knownToken{}, c.version, false
	}
	return cached.knownToken, c.version, true
}

func (c *tokenCache) stats() cache.Stats {
	all := c.tokens.Stats()
	return c.uses.Stats(all.Entries, all.Bytes)
}

// put keeps what was read after get had returned version.
func (c *tokenCache) put(hash secret.Hash, known knownToken, version uint64, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if version == c.version {
		c.tokens.Put(hash, cachedToken{known, now})
	}
}

// remove forgets tokens that have been revoked. It is called once their removal
// has been committed.
func (c *tokenCache) remove(hashes []secret.Hash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	for _, hash := range hashes {
		c.tokens.Remove(hash)
	}
}

// forgetUser forgets the tokens of a user, some of which have been revoked.
func (c *tokenCache) forgetUser(userID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	c.tokens.RemoveAll(func(_ secret.Hash, t cachedToken) bool { return t.session.UserID == userID })
}

// forgetAll forgets all tokens: it is not known which have been revoked.
func (c *tokenCache) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	c.tokens.RemoveAll(nil)
}

// issueTokens makes the tokens of a generation. An access token expires only if
// its client can refresh it.
func (s *Service) issueTokens(ctx context.Context, tx pgx.Tx, session matrix.Session, generation int64, refreshable bool) (Tokens, error) {
	tokens := Tokens{AccessToken: secret.New("hs_")}
	var expiresAt *int64
	if refreshable {
		tokens.RefreshToken = secret.New("hsr_")
		tokens.ExpiresInMS = s.o.AccessTokenLifetime.Milliseconds()
		at := s.nowMS() + tokens.ExpiresInMS
		expiresAt = &at
		if err := insertRefreshToken(ctx, tx, session, secret.HashOf(tokens.RefreshToken), generation, s.nowMS()); err != nil {
			return Tokens{}, err
		}
	}
	err := insertAccessToken(ctx, tx, session, secret.HashOf(tokens.AccessToken), generation, expiresAt)
	return tokens, err
}
