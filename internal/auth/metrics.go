package auth

import (
	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/cache"
)

// Collectors returns the metrics of passwords, to be registered once.
func (s *Service) Collectors() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "homeserver_password_hashes_running", Help: "Passwords being hashed at the moment.",
		}, func() float64 { return float64(s.hasher.all.Held()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "homeserver_password_hashes_waiting", Help: "Passwords that wait to be hashed.",
		}, func() float64 { return float64(s.hasher.networks.Held() - s.hasher.all.Held()) }),
	}
}

// Caches returns how the caches are used.
func (s *Service) Caches() cache.Caches {
	all := s.Sessions.Caches()
	all["familiar_addresses"] = s.hasher.familiar.known.Stats
	return all
}
