package threepid_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/threepid/threepidtest"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

// newCertificate makes a certificate for loopback, and the trust in it.
func newCertificate(t *testing.T) (*tls.Certificate, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	parsed, err := x509.ParseCertificate(der)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}

func TestMailGoesThroughTLS(t *testing.T) {
	t.Parallel()
	certificate, trust := newCertificate(t)
	for _, how := range []string{threepid.StartTLS, threepid.TLS} {
		server := threepidtest.NewMailServer(t, certificate, how == threepid.TLS)
		o := threepid.MailOptions{
			Host: server.Host, Port: server.Port, TLS: how, User: threepidtest.User, Password: threepidtest.Password, TLSConfig: trust,
		}
		h := newEnv(t, func(ho *threepid.Options) { ho.Mail = mailer(t, o) })
		h.mail = server
		h.ask(t, threepid.ForAccount, email("a@example.org", 1))
		if got := server.Last(t); !got.Secure || !got.LoggedIn {
			t.Errorf("%s: got a mail with TLS %v, logged in %v", how, got.Secure, got.LoggedIn)
		}

		for name, change := range map[string]func(*threepid.MailOptions){
			"an unknown certificate": func(o *threepid.MailOptions) { o.TLSConfig = nil },
			"a wrong password":       func(o *threepid.MailOptions) { o.Password = "wrong" },
		} {
			bad := o
			change(&bad)
			h := newEnv(t, func(ho *threepid.Options) { ho.Mail = mailer(t, bad) })
			_, err := h.RequestEmail(t.Context(), threepid.ForAccount, email("a@example.org", 1))
			matrixtest.WantCode(t, err, matrix.Unknown)
			if len(server.Mails()) != 1 {
				t.Errorf("%s: with %s a mail was sent", how, name)
			}
		}
	}
}

func TestStartTLSIsInsistedOn(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	o := threepid.MailOptions{Host: h.mail.Host, Port: h.mail.Port, TLS: threepid.StartTLS}
	strict := newEnv(t, func(ho *threepid.Options) { ho.Mail = mailer(t, o) })
	_, err := strict.RequestEmail(t.Context(), threepid.ForAccount, email("a@example.org", 1))
	matrixtest.WantCode(t, err, matrix.Unknown)
	if len(h.mail.Mails()) != 0 {
		t.Error("the mail went in the clear")
	}
}

func TestMailerRefusesBadConfiguration(t *testing.T) {
	t.Parallel()
	good := threepid.MailOptions{Host: "localhost", TLS: threepid.NoTLS, From: "a@example.org"}
	for name, change := range map[string]func(*threepid.MailOptions){
		"protection": func(o *threepid.MailOptions) { o.TLS = "maybe" },
		"sender":     func(o *threepid.MailOptions) { o.From = "nobody" },
		"host":       func(o *threepid.MailOptions) { o.Host = "" },
		"port":       func(o *threepid.MailOptions) { o.Port = 70000 },
	} {
		bad := good
		change(&bad)
		if _, err := threepid.NewMailer(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := threepid.NewMailer(good); err != nil {
		t.Error(err)
	}
}

func TestGatewayBodyIsATemplate(t *testing.T) {
	t.Parallel()
	bodies := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- r.Header.Get("Content-Type") + " " + string(body)
	}))
	t.Cleanup(server.Close)
	h := newEnv(t, func(o *threepid.Options) {
		o.ServerName = `"quoted"`
		o.Gateway = gateway(t, threepid.GatewayOptions{URL: server.URL, Body: `{"messages":[{"number":"{to}","body":"To {to}: {text}"}],"from":"us"}`})
	})
	_, err := h.RequestPhone(t.Context(), threepid.ForAccount, phone("07700 900001", 1))
	must(t, err)
	got := <-bodies
	for _, want := range []string{
		`application/json {"messages":[{"number":"+447700900001","body":"To +447700900001: `, `for \"quoted\", to`, `"}],"from":"us"}`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %s in it", got, want)
		}
	}
}

func TestGatewayRefusesBadTemplates(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"to":{to},"text":"{text}"}`, `{"to":"{to}"}`, `to={to}&text={text}`} {
		if _, err := threepid.NewGateway(threepid.GatewayOptions{URL: "http://localhost", Body: body}); err == nil {
			t.Errorf("%s: no error", body)
		}
	}
}

func TestRequestEndsWithItsContext(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.RequestEmail(ctx, threepid.ForAccount, email("a@example.org", 1)); err == nil {
		t.Error("no error")
	}
	if len(h.mail.Mails()) != 0 {
		t.Error("a mail was sent")
	}
}
