package threepid

import (
	"context"
	"crypto/tls"
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net/http"
	texttemplate "text/template"
	"time"

	"github.com/wneessen/go-mail"

	"homeserver/internal/matrix"
)

const (
	// mailTimeout bounds the delivery of one mail to the mail server.
	mailTimeout = 30 * time.Second
	// mailsAtOnce bounds the connections to it.
	mailsAtOnce = 4
)

// The ways to protect the connection to a mail server.
const (
	StartTLS = "starttls" // begin in the clear, and insist on TLS before anything is said
	TLS      = "tls"      // TLS from the start
	NoTLS    = "none"     // in the clear, for a server on the same machine
)

// MailOptions say how mail is sent.
type MailOptions struct {
	// Host and Port of the SMTP server; with port 0 the usual one of TLS.
	Host string
	Port int
	// TLS is StartTLS, TLS or NoTLS.
	TLS string
	// User and Password to log in with; empty: without.
	User, Password string
	// From is the sender: an address, with a name if wanted.
	From string
	// HELO is the name that the server announces; "": the name of the machine.
	HELO string
	// TLSConfig is for servers whose certificate is not publicly trusted; nil: the
	// usual trust.
	TLSConfig *tls.Config
}

// Mailer sends mail through one SMTP server, with a connection for each mail. It may
// be used concurrently.
type Mailer struct {
	from    string
	options []mail.Option
	host    string
	slots   chan struct{}
}

//go:embed templates
var templates embed.FS

var (
	plainMail = texttemplate.Must(texttemplate.ParseFS(templates, "templates/mail.txt"))
	htmlMail  = htmltemplate.Must(htmltemplate.ParseFS(templates, "templates/mail.html"))
)

// NewMailer makes a Mailer. The error is one of configuration. It does not connect.
func NewMailer(o MailOptions) (*Mailer, error) {
	m := &Mailer{from: o.From, host: o.Host, slots: make(chan struct{}, mailsAtOnce)}
	if err := mail.NewMsg().From(o.From); err != nil {
		return nil, fmt.Errorf("read the sender of mails: %w", err)
	}
	m.options = []mail.Option{mail.WithTimeout(mailTimeout)}
	switch o.TLS {
	case StartTLS:
		m.options = append(m.options, mail.WithTLSPortPolicy(mail.TLSMandatory))
	case TLS:
		m.options = append(m.options, mail.WithSSLPort(false))
	case NoTLS:
		m.options = append(m.options, mail.WithTLSPortPolicy(mail.NoTLS))
	default:
		return nil, fmt.Errorf("set up mail: %q is no way to protect a connection", o.TLS)
	}
	if o.Port != 0 {
		m.options = append(m.options, mail.WithPort(o.Port))
	}
	if o.User != "" {
		m.options = append(m.options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(o.User), mail.WithPassword(o.Password))
	}
	if o.HELO != "" {
		m.options = append(m.options, mail.WithHELO(o.HELO))
	}
	if o.TLSConfig != nil {
		m.options = append(m.options, mail.WithTLSConfig(o.TLSConfig))
	}
	if _, err := mail.NewClient(m.host, m.options...); err != nil {
		return nil, fmt.Errorf("set up mail: %w", err)
	}
	return m, nil
}

// Mailer returns what sends mail; nil: nothing does.
func (s *Service) Mailer() *Mailer { return s.o.Mail }

// errNotSent is the answer to clients if a message could not be sent; the reason is for
// the log.
var errNotSent = &matrix.Error{
	Code: matrix.Unknown, Message: "The message could not be sent: try again later", Status: http.StatusInternalServerError,
}

// send delivers a letter to the mail server.
func (m *Mailer) send(ctx context.Context, to Address, l letter) error {
	msg, err := m.compose(to, l)
	if err != nil {
		return err
	}
	return m.deliver(ctx, msg)
}

// Mail is a mail about anything else than an address, in both of its forms.
type Mail struct {
	To, Subject, Plain, HTML string
	// Unsubscribe is the address of a page at which the receiver ends such mails, and to
	// which a POST ends them at once: RFC 8058.
	Unsubscribe string
}

// Send delivers a mail to the mail server.
func (m *Mailer) Send(ctx context.Context, one Mail) error {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.From(m.from), msg.To(one.To)); err != nil {
		return fmt.Errorf("compose a mail: %w", err)
	}
	msg.SetBodyString(mail.TypeTextPlain, one.Plain)
	msg.AddAlternativeString(mail.TypeTextHTML, one.HTML)
	msg.SetGenHeader(mail.HeaderListUnsubscribe, "<"+one.Unsubscribe+">")
	msg.SetGenHeader(mail.HeaderListUnsubscribePost, "List-Unsubscribe=One-Click")
	setUsualHeaders(msg, one.Subject)
	return m.deliver(ctx, msg)
}

// deliver sends a mail to the mail server.
func (m *Mailer) deliver(ctx context.Context, msg *mail.Msg) error {
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return fmt.Errorf("wait to send a mail: %w", ctx.Err())
	}
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	client, err := mail.NewClient(m.host, m.options...)
	if err != nil {
		return fmt.Errorf("set up mail: %w", err)
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		return fmt.Errorf("send a mail: %w", errors.Join(errNotSent, err))
	}
	return nil
}

// compose writes a letter as plain text and as HTML.
func (m *Mailer) compose(to Address, l letter) (*mail.Msg, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	err := errors.Join(
		msg.From(m.from),
		msg.To(to.Address),
		msg.SetBodyTextTemplate(plainMail, l),
		msg.AddAlternativeHTMLTemplate(htmlMail, l),
	)
	if err != nil {
		return nil, fmt.Errorf("compose a mail: %w", err)
	}
	setUsualHeaders(msg, l.Subject)
	return msg, nil
}

// setUsualHeaders sets the headers that all mails have.
func setUsualHeaders(msg *mail.Msg, subject string) {
	msg.Subject(subject)
	msg.SetDate()
	msg.SetMessageID()
	// RFC 3834: nobody's autoresponder need answer.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
}
