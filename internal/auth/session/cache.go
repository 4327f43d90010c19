package session

import (
	"sync"
	"time"

	"homeserver/internal/auth/secret"
	"homeserver/internal/cache"
	"homeserver/internal/matrix"
)

// cacheLifetime is how long another process may go on accepting a token that
// this one has revoked, where it does not hear of that at once.
const cacheLifetime = 30 * time.Second

// knownToken is an access token in the cache. expiresAt is in milliseconds since the
// epoch; 0 means never.
type knownToken struct {
	session   matrix.Session
	expiresAt int64
}

// tokenCache has the access tokens in use. Each removal raises its version, so that a
// token that was read before a removal is not put in after it.
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

// put adds a token that was read after get had returned version.
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
