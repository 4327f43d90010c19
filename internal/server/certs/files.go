package certs

import (
	"crypto/tls"
	"fmt"
	"os"
	"time"
)

// files is a certificate in files that others update.
type files struct {
	certificate, key string
	loaded           stamp
}

// stamp shows whether the two files have changed.
type stamp struct {
	certificateTime, keyTime time.Time
	certificateSize, keySize int64
}

// refresh loads the files if they have changed. While one is new and the other still old, they don't
// match; that is an error, and the next look finds both new.
func (f *files) refresh(current *tls.Certificate) (*tls.Certificate, error) {
	s, err := f.stat()
	if err != nil {
		return nil, fmt.Errorf("load the TLS certificate: %w", err)
	}
	if current != nil && s == f.loaded {
		return current, nil
	}
	pair, err := tls.LoadX509KeyPair(f.certificate, f.key)
	if err != nil {
		return nil, fmt.Errorf("load the TLS certificate from %s and %s: %w", f.certificate, f.key, err)
	}
	f.loaded = s
	return &pair, nil
}

func (f *files) stat() (stamp, error) {
	certificate, err := os.Stat(f.certificate)
	if err != nil {
		return stamp{}, err
	}
	key, err := os.Stat(f.key)
	if err != nil {
		return stamp{}, err
	}
	return stamp{certificate.ModTime(), key.ModTime(), certificate.Size(), key.Size()}, nil
}
