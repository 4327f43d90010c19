package config

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Secret is a value that is never shown: printing it prints asterisks, or nothing if it
// is empty. Only a conversion to string reveals it.
type Secret string

const mask = "********"

// Format implements [fmt.Formatter] for every verb, so that no format string can reveal the secret.
func (s Secret) Format(f fmt.State, _ rune) {
	// A fmt.State that fails has nowhere to report it to.
	_, _ = io.WriteString(f, s.masked())
}

// MarshalText implements [encoding.TextMarshaler], which JSON, YAML and slog use.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.masked()), nil }

func (s Secret) masked() string {
	if s == "" {
		return ""
	}
	return mask
}

// URL is a URL that may hold secrets: a user, a password, keys in its query. Printing
// it masks these, and all of a text that is no URL. Only a conversion to string reveals
// it.
type URL string

// Format implements [fmt.Formatter] for every verb, so that no format string can reveal the secrets.
func (u URL) Format(f fmt.State, _ rune) {
	// A fmt.State that fails has nowhere to report it to.
	_, _ = io.WriteString(f, u.masked())
}

// MarshalText implements [encoding.TextMarshaler], which JSON, YAML and slog use.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.masked()), nil }

func (u URL) masked() string {
	parsed, err := url.Parse(string(u))
	if err != nil {
		return mask
	}
	if parsed.User == nil && parsed.RawQuery == "" && parsed.Fragment == "" {
		return string(u)
	}
	shown := parsed.Scheme + "://"
	if parsed.User != nil {
		shown += mask + "@"
	}
	shown += parsed.Host + parsed.EscapedPath()
	if parsed.RawQuery != "" {
		shown += "?" + mask
	}
	if parsed.Fragment != "" {
		shown += "#" + mask
	}
	return shown
}

// Listener is one place where clients are served.
type Listener struct {
	// Address is host:port. The host localhost means every loopback address that the machine has, an
	// empty host every address, and the port 0 a free one.
	Address string `yaml:"address"`
	// TLS says whether clients must speak TLS there.
	TLS bool `yaml:"tls"`
}

const tlsScheme = "tls://"

// UnmarshalText implements [encoding.TextUnmarshaler] for the short form: host:port for plain HTTP,
// tls://host:port for TLS.
func (l *Listener) UnmarshalText(text []byte) error {
	address, tls := strings.CutPrefix(string(text), tlsScheme)
	if strings.Contains(address, "://") {
		return errors.New("must be host:port, or tls://host:port for TLS")
	}
	*l = Listener{Address: address, TLS: tls}
	return nil
}

// MarshalText implements [encoding.TextMarshaler]; it is the reverse of UnmarshalText.
func (l Listener) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// String returns the short form.
func (l Listener) String() string {
	if l.TLS {
		return tlsScheme + l.Address
	}
	return l.Address
}

// Loopback reports whether only this machine can reach the listener.
func (l Listener) Loopback() bool {
	host, _, err := net.SplitHostPort(l.Address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// URL returns where a browser on this machine finds the listener.
func (l Listener) URL() string {
	scheme := "http://"
	if l.TLS {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil {
		return scheme + l.Address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + net.JoinHostPort(host, port)
}

// Size is a number of bytes.
type Size int64

var units = []struct {
	suffix string
	bytes  int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// UnmarshalText implements [encoding.TextUnmarshaler]: a whole number, alone for bytes or with one of
// the units B, KiB, MiB and GiB.
func (s *Size) UnmarshalText(text []byte) error {
	number, factor := string(text), int64(1)
	for _, unit := range units {
		if before, found := strings.CutSuffix(number, unit.suffix); found {
			number, factor = strings.TrimSpace(before), unit.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/factor {
		return errors.New("must be a number of bytes, such as 65536, 64KiB or 1MiB")
	}
	*s = Size(n * factor)
	return nil
}

// MarshalText implements [encoding.TextMarshaler] with the largest unit that leaves a whole number.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String returns the size with the largest unit that leaves a whole number.
func (s Size) String() string {
	for _, unit := range units {
		if unit.bytes > 1 && s != 0 && int64(s)%unit.bytes == 0 {
			return strconv.FormatInt(int64(s)/unit.bytes, 10) + unit.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
