package certs

import (
	"crypto/tls"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// checkInterval is how long a new certificate may go unnoticed. Looking costs next to nothing.
const checkInterval = time.Second

// refreshFunc returns the certificate to use next: current (nil at first), or a newer one. It is not
// called concurrently.
type refreshFunc func(current *tls.Certificate) (*tls.Certificate, error)

// rotation keeps a certificate up to date. It checks during handshakes, at most once
// each checkInterval, and so needs no goroutine.
type rotation struct {
	refresh refreshFunc
	log     *slog.Logger
	now     func() time.Time

	current atomic.Pointer[tls.Certificate]
	checked atomic.Int64 // nanoseconds since the epoch

	// mu serves refresh; handshakes other than the one that checks never wait for it.
	mu sync.Mutex
	// failure is what was logged last, so that it is logged once and not each second.
	failure string
}

// certificate implements [tls.Config.GetCertificate].
func (r *rotation) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	now, checked := r.now().UnixNano(), r.checked.Load()
	if now-checked >= int64(checkInterval) && r.checked.CompareAndSwap(checked, now) {
		// The error is logged; the certificate there is serves on.
		_ = r.renew()
	}
	return r.current.Load(), nil
}

// renew checks for a newer certificate now.
func (r *rotation) renew() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	current := r.current.Load()
	next, err := r.refresh(current)
	if err != nil {
		if current != nil && err.Error() != r.failure {
			r.log.Error("the new certificate cannot be used, the old one stays", "error", err)
		}
		r.failure = err.Error()
		return err
	}
	r.failure = ""
	if next != current {
		r.current.Store(next)
		if current != nil {
			r.log.Info("using a new certificate", "expires", next.Leaf.NotAfter)
		}
	}
	return nil
}
