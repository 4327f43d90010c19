package safehttp

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

const (
	defaultTimeout      = 10 * time.Second
	defaultMaxBodyBytes = 1 << 20

	connectTimeout  = 5 * time.Second
	maxHeaderBytes  = 64 << 10
	idleConnections = 16
	idleTimeout     = 30 * time.Second
)

// Options sets up a Client.
type Options struct {
	// AllowedRanges may be connected to although they are not public, or this machine's.
	AllowedRanges []netip.Prefix
	// Timeout is for a request with its redirects and the body of its answer;
	// 0 means 10 s.
	Timeout time.Duration
	// MaxBodyBytes is the longest body that can be read of an answer, counted after
	// decompression; 0 means 1 MiB.
	MaxBodyBytes int64
	// MaxRedirects is how many redirects are followed. With 0 a redirect is an
	// answer like any other.
	MaxRedirects int
	// UserAgent is sent with requests that have none of their own.
	UserAgent string
}

// Client sends requests to where strangers want them to go. It may be used
// concurrently.
type Client struct {
	http      http.Client
	maxBody   int64
	userAgent string
}

// New makes a Client, which needs no closing.
func New(o Options) *Client {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = defaultMaxBodyBytes
	}
	if o.UserAgent == "" {
		o.UserAgent = "homeserver"
	}
	dialer := &net.Dialer{
		Timeout: connectTimeout,
		Control: guard{slices.Clone(o.AllowedRanges), net.InterfaceAddrs}.control,
	}
	return &Client{
		maxBody:   o.MaxBodyBytes,
		userAgent: o.UserAgent,
		http: http.Client{
			Timeout:       o.Timeout,
			CheckRedirect: redirects(o.MaxRedirects),
			Transport: &http.Transport{
				DialContext:            dialer.DialContext,
				ForceAttemptHTTP2:      true,
				TLSHandshakeTimeout:    connectTimeout,
				MaxResponseHeaderBytes: maxHeaderBytes,
				MaxIdleConns:           idleConnections,
				IdleConnTimeout:        idleTimeout,
			},
		},
	}
}

// redirects returns the rule of following them, up to a number.
func redirects(most int) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, via []*http.Request) error {
		switch {
		case most == 0:
			return http.ErrUseLastResponse
		case len(via) > most:
			return fmt.Errorf("more than %d redirects", most)
		}
		next.Header.Del("Referer")
		return nil
	}
}

// Do sends a request, http or https, and returns the answer, whatever its status. The
// caller closes its body; reading more of it than allowed returns a
// *http.MaxBytesError. The error wraps [ErrForbidden] if the address was refused; a
// net.Error whose Timeout is true means that it took too long.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", c.userAgent)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, c.maxBody)
	return answer, nil
}
