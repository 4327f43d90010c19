package auth

import "homeserver/internal/auth/secret"

// Knows reports whether the access token has been used lately, as far as this process
// remembers; it never asks the database. It does not tell whether the token is
// still good.
func (s *Service) Knows(token string) bool {
	_, _, ok := s.cache.get(secret.HashOf(token), s.o.Now())
	return ok
}
