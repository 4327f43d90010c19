package media

import "github.com/prometheus/client_golang/prometheus"

func newReceived() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: "homeserver_media_received_bytes_total", Help: "Bytes of the files that users have uploaded.",
	})
}

// Collectors returns the metrics of media, to be registered once.
func (s *Service) Collectors() []prometheus.Collector { return []prometheus.Collector{s.received} }
