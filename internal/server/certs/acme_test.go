package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
)

// acmeAuthority is as much of RFC 8555 as it takes to issue a certificate: one account, one order. It
// checks that the client controls the name, by TLS-ALPN-01 (RFC 8737) or by HTTP-01, and leaves out
// what only protects a real authority: nonces and signatures.
type acmeAuthority struct {
	t      *testing.T
	url    string
	domain string
	ca     *localAuthority

	// validate asks the client for the proof that it controls the domain; see the two below.
	challenge string
	validate  func(ctx context.Context, keyAuthorization string) error

	mu         sync.Mutex
	thumbprint string
	valid      bool
	issued     []byte
}

const challengeToken = "a-token"

// newACMEAuthority serves an authority until the test ends.
func newACMEAuthority(t *testing.T, domain, challenge string) *acmeAuthority {
	t.Helper()
	a := &acmeAuthority{
		t: t, domain: domain, challenge: challenge,
		ca: &localAuthority{dir: t.TempDir(), names: []string{domain}, now: time.Now},
	}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

// caFile returns the file with the authority's certificate.
func (a *acmeAuthority) caFile() string { return a.ca.path(caCertificate) }

func (a *acmeAuthority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Replay-Nonce", "nonce")
	payload, err := a.open(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch r.URL.Path {
	case "/directory":
		a.answer(w, http.StatusOK, map[string]any{
			"newNonce": a.url + "/nonce", "newAccount": a.url + "/account", "newOrder": a.url + "/new-order",
			"revokeCert": a.url + "/revoke", "keyChange": a.url + "/key",
		})
	case "/account":
		w.Header().Set("Location", a.url+"/account")
		a.answer(w, http.StatusCreated, map[string]any{"status": "valid"})
	case "/order":
		a.answer(w, http.StatusOK, a.order())
	case "/new-order":
		w.Header().Set("Location", a.url+"/order")
		a.answer(w, http.StatusCreated, a.order())
	case "/authorization":
		a.answer(w, http.StatusOK, map[string]any{
			"status": status(a.valid), "identifier": map[string]string{"type": "dns", "value": a.domain},
			"challenges": []any{a.challengeObject()},
		})
	case "/challenge":
		if err := a.validate(r.Context(), challengeToken+"."+a.thumbprint); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		a.valid = true
		a.answer(w, http.StatusOK, a.challengeObject())
	case "/finalize":
		a.finalize(w, payload)
	case "/certificate":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		_, _ = w.Write(a.issued)
	}
}

// open returns the payload of a request, and learns the account's key from the first.
func (a *acmeAuthority) open(r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost {
		return nil, nil
	}
	var jws struct{ Protected, Payload string }
	if err := json.NewDecoder(r.Body).Decode(&jws); err != nil {
		return nil, err
	}
	var header struct {
		JWK *struct{ X, Y string } `json:"jwk"`
	}
	if err := json.Unmarshal(unbase64(jws.Protected), &header); err != nil {
		return nil, err
	}
	if header.JWK != nil {
		// The form of SEC 1, section 2.3.3: 4, then both coordinates.
		point := append([]byte{4}, append(unbase64(header.JWK.X), unbase64(header.JWK.Y)...)...)
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			return nil, err
		}
		thumbprint, err := acme.JWKThumbprint(key)
		if err != nil {
			return nil, err
		}
		a.mu.Lock()
		a.thumbprint = thumbprint
		a.mu.Unlock()
	}
	return unbase64(jws.Payload), nil
}

func unbase64(s string) []byte {
	decoded, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	return decoded
}

func status(valid bool) string {
	if valid {
		return "valid"
	}
	return "pending"
}

func (a *acmeAuthority) challengeObject() any {
	return map[string]string{
		"type": a.challenge, "url": a.url + "/challenge", "token": challengeToken, "status": status(a.valid),
	}
}

func (a *acmeAuthority) order() any {
	order := map[string]any{
		"status":         "pending",
		"identifiers":    []map[string]string{{"type": "dns", "value": a.domain}},
		"authorizations": []string{a.url + "/authorization"},
		"finalize":       a.url + "/finalize",
	}
	switch {
	case a.issued != nil:
		order["status"], order["certificate"] = "valid", a.url+"/certificate"
	case a.valid:
		order["status"] = "ready"
	}
	return order
}

// finalize issues what the certificate request asks for.
func (a *acmeAuthority) finalize(w http.ResponseWriter, payload []byte) {
	var body struct{ CSR string }
	if err := json.Unmarshal(payload, &body); err != nil || !a.valid {
		http.Error(w, "not ready", http.StatusForbidden)
		return
	}
	request, err := x509.ParseCertificateRequest(unbase64(body.CSR))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ca, err := a.ca.open()
	if err != nil {
		a.t.Error(err)
		return
	}
	template := newTemplate(a.domain, time.Now(), 90*day)
	template.DNSNames = request.DNSNames
	key, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		http.Error(w, "wrong kind of key", http.StatusBadRequest)
		return
	}
	pair, err := (&keyPair{key: &ecdsa.PrivateKey{PublicKey: *key}}).sign(template, ca)
	if err != nil {
		a.t.Error(err)
		return
	}
	a.issued = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.certificate.Raw})
	w.Header().Set("Location", a.url+"/order")
	a.answer(w, http.StatusOK, a.order())
}

func (a *acmeAuthority) answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		a.t.Error(err)
	}
}

// acmeSource returns the source of a server that gets its certificate for the domain from the authority.
func acmeSource(t *testing.T, a *acmeAuthority) (src *Source, cacheDir string) {
	t.Helper()
	cfg := testConfig(t)
	cfg.ServerName = a.domain
	cfg.TLS.ACME.Enabled = true
	cfg.TLS.ACME.Directory = a.url + "/directory"
	return mustLoad(t, cfg, io.Discard, time.Now), filepath.Join(cfg.TLSDir(), "acme")
}

// dial connects as a client does that trusts the authority.
func (a *acmeAuthority) dial(ctx context.Context, address, name string) error {
	roots := x509.NewCertPool()
	// There is no authority before its first certificate; then the handshake fails for that alone.
	if content, err := os.ReadFile(a.caFile()); err == nil {
		roots.AppendCertsFromPEM(content)
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: name}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

func TestACMEIssuesThroughTheTLSListener(t *testing.T) {
	t.Parallel()
	a := newACMEAuthority(t, "matrix.example.org", "tls-alpn-01")
	if _, err := a.ca.open(); err != nil {
		t.Fatal(err)
	}
	src, cache := acmeSource(t, a)
	address := serve(t, src)
	a.validate = func(ctx context.Context, keyAuthorization string) error {
		dialer := tls.Dialer{Config: &tls.Config{
			ServerName: a.domain, NextProtos: []string{acme.ALPNProto},
			InsecureSkipVerify: true, // RFC 8737: the certificate of a challenge is self-signed.
		}}
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		shown := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
		want := fmt.Sprintf("%x", sha256.Sum256([]byte(keyAuthorization)))
		for _, extension := range shown.Extensions {
			if strings.HasSuffix(fmt.Sprintf("%x", extension.Value), want) {
				return conn.Close()
			}
		}
		return fmt.Errorf("no proof in %v", shown.Extensions)
	}
	if err := a.dial(t.Context(), address, a.domain); err != nil {
		t.Fatal(err)
	}
	if err := a.dial(t.Context(), address, "other.example.org"); err == nil {
		t.Error("a certificate for a name that is not configured")
	}
	if _, err := os.Stat(filepath.Join(cache, a.domain)); err != nil {
		t.Errorf("the certificate is not kept for the next start: %v", err)
	}
	if _, err := src.Reload(); err != nil || src.CAFile() != "" {
		t.Errorf("got %v, authority %q", err, src.CAFile())
	}
}

func TestACMEIssuesThroughThePlainListener(t *testing.T) {
	t.Parallel()
	a := newACMEAuthority(t, "matrix.example.org", "http-01")
	if _, err := a.ca.open(); err != nil {
		t.Fatal(err)
	}
	src, _ := acmeSource(t, a)
	address := serve(t, src)
	plain := httptest.NewServer(src.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "the server itself")
	})))
	t.Cleanup(plain.Close)
	get := func(ctx context.Context, path string) (string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, plain.URL+path, nil)
		if err != nil {
			return "", err
		}
		request.Host = a.domain
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return "", err
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		return string(body), err
	}
	a.validate = func(ctx context.Context, keyAuthorization string) error {
		body, err := get(ctx, "/.well-known/acme-challenge/"+challengeToken)
		if err == nil && body != keyAuthorization {
			err = fmt.Errorf("got %q, want %q", body, keyAuthorization)
		}
		return err
	}
	if err := a.dial(t.Context(), address, a.domain); err != nil {
		t.Fatal(err)
	}
	if body, err := get(t.Context(), "/_matrix/client/versions"); err != nil || body != "the server itself" {
		t.Errorf("got %q, %v", body, err)
	}
}
