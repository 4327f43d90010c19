package threepidtest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// User and Password are those with which clients log in to a MailServer.
const (
	User     = "matrix"
	Password = "wordpass"
)

// MailServer is an SMTP server that stores the mails it receives.
type MailServer struct {
	Host string
	Port int

	mu     sync.Mutex
	mails  []Mail
	refuse error
}

// Mail is a mail that has arrived.
type Mail struct {
	From, To    string // of the envelope
	Secure      bool   // it came through TLS
	LoggedIn    bool
	Header      mail.Header
	Plain, HTML string
}

// NewMailServer starts a mail server. With a certificate it speaks TLS: from the
// start if implicit is set, else by STARTTLS.
func NewMailServer(t testing.TB, certificate *tls.Certificate, implicit bool) *MailServer {
	t.Helper()
	m := &MailServer{}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		_, secure := c.TLSConnectionState()
		return &session{server: m, t: t, secure: secure}, nil
	}))
	server.AllowInsecureAuth = true
	server.Domain = "localhost"
	server.ErrorLog = log.New(io.Discard, "", 0)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := socket.Addr().(*net.TCPAddr)
	m.Host, m.Port = "127.0.0.1", address.Port
	if certificate != nil {
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}
		if implicit {
			socket = tls.NewListener(socket, server.TLSConfig)
		}
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Serve(socket); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = server.Close() // connections that are still open break
		_ = socket.Close() // the server does not know of it if it has not begun yet
		running.Wait()
	})
	return m
}

// Refuse makes the server refuse mails with an error; with nil it accepts them again.
func (m *MailServer) Refuse(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = err
}

// Mails lists the mails that have arrived.
func (m *MailServer) Mails() []Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Mail(nil), m.mails...)
}

// Last returns the mail that has arrived last; the test fails where there is none.
func (m *MailServer) Last(t testing.TB) Mail {
	t.Helper()
	all := m.Mails()
	if len(all) == 0 {
		t.Fatal("no mail has arrived")
	}
	return all[len(all)-1]
}

// LastLink returns the link of the last mail that has one; the test fails where there is none.
// A notice that the server sends on its own, at any time, has no link.
func (m *MailServer) LastLink(t testing.TB) *url.URL {
	t.Helper()
	for _, mail := range slices.Backward(m.Mails()) {
		if link := mail.Link(); link != nil {
			return link
		}
	}
	t.Fatal("no mail with a link has arrived")
	return nil
}

var link = regexp.MustCompile(`https?://\S+`)

// Link returns the first link in a mail's text, and nil where there is none.
func (m Mail) Link() *url.URL {
	u, err := url.Parse(link.FindString(m.Plain))
	if err != nil || u.Host == "" {
		return nil
	}
	return u
}

// session is one connection.
type session struct {
	server   *MailServer
	t        testing.TB
	secure   bool
	loggedIn bool
	mail     Mail
}

// AuthMechanisms lists the ways to log in.
func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth logs in.
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != User || password != Password {
			return smtp.ErrAuthFailed
		}
		s.loggedIn = true
		return nil
	}), nil
}

// Mail begins a mail.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.mail = Mail{From: from, Secure: s.secure, LoggedIn: s.loggedIn}
	return nil
}

// Rcpt sets the recipient.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.mail.To = to
	return s.server.refuse
}

// Data reads the content.
func (s *session) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.mail.parse(content); err != nil {
		s.t.Errorf("a mail that nobody can read: %v\n%s", err, content)
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails = append(s.server.mails, s.mail)
	return nil
}

// Reset drops the mail that was begun.
func (s *session) Reset() { s.mail = Mail{} }

// Logout ends the connection.
func (s *session) Logout() error { return nil }

// parse reads a mail with a plain and an HTML alternative.
func (m *Mail) parse(content []byte) error {
	message, err := mail.ReadMessage(bytes.NewReader(content))
	if err != nil {
		return err
	}
	m.Header = message.Header
	_, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	parts := multipart.NewReader(message.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			return err
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			m.HTML = string(text)
		} else {
			m.Plain = string(text)
		}
	}
}
