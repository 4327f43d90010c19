package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"homeserver/internal/appservice/registration"
)

// checkFiles returns the problems of the files and folders that the configuration
// names. It changes nothing: folders that the server makes may be missing.
func (c *Config) checkFiles(now time.Time) []problem {
	v := &validator{}
	v.folder("data_dir", c.DataDir)
	if c.Media.Storage == "folder" {
		v.folder("media.folder", c.Media.Folder)
	}
	v.certificate(c.TLS, now)
	v.authorities("ldap.ca_file", c.LDAP.CAFile)
	v.appServices(c)
	return v.problems
}

// authorities checks that a file has certificates of authorities; an empty path is none.
func (v *validator) authorities(key, path string) {
	if path == "" {
		return
	}
	content, err := os.ReadFile(path)
	v.check(err == nil, key, "cannot be read: %v", err)
	v.check(err != nil || x509.NewCertPool().AppendCertsFromPEM(content), key, "has no certificate in PEM form")
}

// folder checks that there is a folder, or nothing yet; an empty path is none.
func (v *validator) folder(key, path string) {
	if path == "" {
		return
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		v.check(false, key, "cannot be looked at: %v", err)
	case !info.IsDir():
		v.check(false, key, "%s is not a folder", path)
	default:
		_, err := os.ReadDir(path)
		v.check(err == nil, key, "cannot be read: %v", err)
	}
}

// certificate checks that there are a certificate and its key, and that it is good now.
func (v *validator) certificate(t TLS, now time.Time) {
	if t.Certificate == "" || t.Key == "" {
		return
	}
	readable := true
	for key, path := range map[string]string{"tls.certificate": t.Certificate, "tls.key": t.Key} {
		if _, err := os.ReadFile(path); err != nil {
			v.check(false, key, "cannot be read: %v", err)
			readable = false
		}
	}
	if !readable {
		return
	}
	pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
	if err != nil {
		v.check(false, "tls.certificate", "%s and %s are no certificate and its key: %v", t.Certificate, t.Key, err)
		return
	}
	day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	v.check(!now.After(pair.Leaf.NotAfter), "tls.certificate", "%s has expired on %s", t.Certificate, day(pair.Leaf.NotAfter))
	v.check(!now.Before(pair.Leaf.NotBefore), "tls.certificate", "%s is not valid before %s", t.Certificate, day(pair.Leaf.NotBefore))
}

// appServices checks the registrations of application services. Its problems name the file
// and the line of each.
func (v *validator) appServices(c *Config) {
	_, err := registration.Load(c.AppServiceFiles, c.ServerName)
	if err == nil {
		return
	}
	for text := range strings.SplitSeq(err.Error(), "\n") {
		v.check(false, "app_service_files", "%s", text)
	}
}
