package certs

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"homeserver/internal/atomicfile"
	"homeserver/internal/server/config"
)

const (
	caCertificate = "ca.pem"
	caKey         = "ca-key.pem"
	// serverPair is the file of both certificate and key, so that they are replaced
	// together.
	serverPair = "server.pem"

	caLifetime = 10 * 365 * 24 * time.Hour
	// serverLifetime is the longest that the strictest clients accept.
	serverLifetime = 397 * 24 * time.Hour
	// renewBefore is how long before its end the server's certificate is replaced.
	renewBefore = 30 * 24 * time.Hour
)

// localAuthority is the server's own certificate authority, together with the certificate that it
// issues for the server.
type localAuthority struct {
	dir   string
	names []string
	now   func() time.Time
}

// localNames returns the names by which clients may reach the server, sorted, each in
// the form that a certificate has.
func localNames(cfg *config.Config) []string {
	names := []string{"localhost", "127.0.0.1", "::1", cfg.ServerHost()}
	if u, err := url.Parse(cfg.PublicBaseURL); err == nil && u.Hostname() != "" {
		names = append(names, u.Hostname())
	}
	for i, name := range names {
		names[i] = strings.ToLower(name)
		if ip, err := netip.ParseAddr(name); err == nil {
			names[i] = ip.String()
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (a *localAuthority) path(name string) string { return filepath.Join(a.dir, name) }

// refresh returns current, or that of an earlier start, while it is good for long enough, and
// otherwise issues a new one.
func (a *localAuthority) refresh(current *tls.Certificate) (*tls.Certificate, error) {
	if current != nil && a.fresh(current.Leaf) {
		return current, nil
	}
	ca, err := a.open()
	if err != nil {
		return nil, fmt.Errorf("open the local certificate authority: %w", err)
	}
	if pair, err := tls.LoadX509KeyPair(a.path(serverPair), a.path(serverPair)); err == nil && a.usable(pair.Leaf, ca) {
		return &pair, nil
	}
	pair, err := a.issue(ca)
	if err != nil {
		return nil, fmt.Errorf("issue the server's certificate: %w", err)
	}
	return pair, nil
}

// fresh reports whether a certificate of the server needs no renewal yet.
func (a *localAuthority) fresh(leaf *x509.Certificate) bool {
	now := a.now()
	return !now.Before(leaf.NotBefore) && now.Add(renewBefore).Before(leaf.NotAfter)
}

// usable reports whether the certificate of an earlier start is good for the names of today.
func (a *localAuthority) usable(leaf *x509.Certificate, ca *keyPair) bool {
	named := make([]string, 0, len(a.names))
	named = append(named, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		named = append(named, ip.String())
	}
	slices.Sort(named)
	return a.fresh(leaf) && leaf.CheckSignatureFrom(ca.certificate) == nil && slices.Equal(named, a.names)
}

// open returns the authority, which it makes or renews if need be.
func (a *localAuthority) open() (*keyPair, error) {
	if _, err := os.Stat(a.path(caCertificate)); errors.Is(err, fs.ErrNotExist) {
		return a.create()
	}
	ca, err := readPair(a.path(caCertificate), a.path(caKey))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w; remove %s and %s to have new ones made", err, a.path(caCertificate), a.path(caKey))
	case a.now().Add(serverLifetime).After(ca.certificate.NotAfter), !a.covers(ca.certificate):
		// With the same name and key the old certificate remains as good as the new one, to its end.
		return a.certify(ca)
	}
	return ca, nil
}

// constrain restricts an authority to the names of this server, so that a thief of its
// key cannot pretend to be another server to those who trust it. RFC 5280, section
// 4.2.1.10.
func (a *localAuthority) constrain(template *x509.Certificate) {
	template.PermittedDNSDomainsCritical = true
	hosts, addresses := a.split()
	template.PermittedDNSDomains = hosts
	for _, ip := range addresses {
		template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(ip.BitLen(), ip.BitLen())})
	}
}

// covers reports whether an authority may speak for the names of today: one without constraints, as they
// were made earlier, may for all.
func (a *localAuthority) covers(ca *x509.Certificate) bool {
	hosts, addresses := a.split()
	if len(ca.PermittedDNSDomains) == 0 && len(ca.PermittedIPRanges) == 0 {
		return true
	}
	for _, host := range hosts {
		if !slices.Contains(ca.PermittedDNSDomains, host) {
			return false
		}
	}
	for _, ip := range addresses {
		if !slices.ContainsFunc(ca.PermittedIPRanges, func(n *net.IPNet) bool { return n.Contains(ip.AsSlice()) }) {
			return false
		}
	}
	return true
}

// split separates the names that are hosts from those that are addresses.
func (a *localAuthority) split() (hosts []string, addresses []netip.Addr) {
	for _, name := range a.names {
		if ip, err := netip.ParseAddr(name); err == nil {
			addresses = append(addresses, ip)
		} else {
			hosts = append(hosts, name)
		}
	}
	return hosts, addresses
}

// create makes a new authority. The key is written first: without its certificate it counts as absent.
func (a *localAuthority) create() (*keyPair, error) {
	ca, err := newKey()
	if err != nil {
		return nil, err
	}
	encoded, err := ca.encodeKey()
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Write(a.path(caKey), encoded, 0o600); err != nil {
		return nil, err
	}
	return a.certify(ca)
}

// certify makes a certificate, signed by the authority's key, that is valid from now.
func (a *localAuthority) certify(ca *keyPair) (*keyPair, error) {
	// The letters distinguish the authorities of several servers in a browser's list.
	template := newTemplate("homeserver local CA "+rand.Text()[:6], a.now(), caLifetime)
	template.IsCA = true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign
	a.constrain(template)
	if ca.certificate != nil {
		template.Subject = ca.certificate.Subject
	}
	signed, err := ca.sign(template, &keyPair{certificate: template, key: ca.key})
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Write(a.path(caCertificate), signed.encodeCertificate(), 0o644); err != nil {
		return nil, err
	}
	return signed, nil
}

// issue makes the server's certificate, with a new key, and stores it for the next
// start.
func (a *localAuthority) issue(ca *keyPair) (*tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := newTemplate("homeserver", a.now(), serverLifetime)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	hosts, addresses := a.split()
	template.DNSNames = hosts
	for _, ip := range addresses {
		template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
	}
	pair, err := key.sign(template, ca)
	if err != nil {
		return nil, err
	}
	encodedKey, err := pair.encodeKey()
	if err != nil {
		return nil, err
	}
	encoded := pair.encodeCertificate()
	if err := atomicfile.Write(a.path(serverPair), append(encoded, encodedKey...), 0o600); err != nil {
		return nil, err
	}
	loaded, err := tls.X509KeyPair(encoded, encodedKey)
	if err != nil {
		return nil, err
	}
	return &loaded, nil
}
