package server

import (
	"slices"
	"testing"

	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/server/config"
)

func TestEveryKindOfWorkIsConfigured(t *testing.T) {
	t.Parallel()
	var names []ratelimit.Kind
	for name, rate := range config.Default().RateLimits.All() {
		names = append(names, ratelimit.Kind(name))
		if rate.PerSecond <= 0 || rate.Burst < 1 {
			t.Errorf("%s has no default", name)
		}
	}
	if !slices.Equal(names, ratelimit.Kinds()) {
		t.Errorf("the configuration has %v,\nthe kinds are       %v", names, ratelimit.Kinds())
	}
}
