package threepid

import (
	"context"
	"fmt"
	"net/url"

	"homeserver/internal/httpapi/ratelimit"
)

// message is a message to the owner of an address. useful is false if there is nothing
// to confirm, which the message says instead.
type message struct {
	purpose    Purpose
	to         Address
	useful     bool
	sid, token string
}

// send sends a message. M_LIMIT_EXCEEDED where the address has got too many.
func (s *Service) send(ctx context.Context, m message) error {
	taken, err := s.o.Limits.Take(ratelimit.MailsToAddress, m.to.Medium+":"+m.to.Address)
	if err != nil {
		return err
	}
	if m.to.Medium == Phone {
		err = s.sendText(ctx, m.to, m.text(s.o.ServerName))
	} else {
		err = s.o.Mail.send(ctx, m.to, m.letter(s.o.ServerName, s.o.BaseURL))
	}
	if err != nil {
		taken.GiveBack()
	}
	return err
}

// letter is the content of a mail. Link is "" where there is nothing to confirm.
type letter struct {
	Subject    string
	Paragraphs []string
	Button     string
	Link       string
	Closing    string
}

// letter writes the mail.
func (m message) letter(server, baseURL string) letter {
	if !m.useful {
		return letter{Subject: "About your e-mail address on " + server, Paragraphs: m.useless(server, "e-mail address")}
	}
	query := url.Values{"sid": {m.sid}, "token": {m.token}}
	l := letter{
		Subject: "Confirm your e-mail address for " + server,
		Button:  "Confirm this address",
		Link:    baseURL + ConfirmPath + "?" + query.Encode(),
		Closing: "The link is good for 24 hours. If you did not ask for this, you can ignore this message: nothing will happen.",
	}
	switch m.purpose {
	case ForPassword:
		l.Subject = "A new password for your account on " + server
		l.Paragraphs = []string{fmt.Sprintf("Somebody wants to set a new password for your account on %s. If that is you, follow the link to confirm it, then go back to where you asked for it.", server)}
	case ForRegistration:
		l.Paragraphs = []string{fmt.Sprintf("Somebody is making an account on %s with this e-mail address. If that is you, follow the link to confirm it, then go back to where you began.", server)}
	default:
		l.Paragraphs = []string{fmt.Sprintf("Somebody wants to add this e-mail address to an account on %s. If that is you, follow the link to confirm it, then go back to where you began.", server)}
	}
	return l
}

// text writes the text message.
func (m message) text(server string) string {
	if !m.useful {
		paragraphs := m.useless(server, "phone number")
		return paragraphs[0]
	}
	what := "to confirm your phone number"
	if m.purpose == ForPassword {
		what = "to set a new password"
	}
	return fmt.Sprintf("%s is your code for %s, %s. Do not tell it to anybody.", m.token, server, what)
}

// useless returns the text for a person who has nothing to confirm.
func (m message) useless(server, thing string) []string {
	if m.purpose == ForPassword {
		return []string{
			fmt.Sprintf("Somebody wants to set a new password on %s with this %s, but no account there has it.", server, thing),
			"If that was you, you may have used another address. If it was not, you can ignore this message.",
		}
	}
	return []string{
		fmt.Sprintf("Somebody wants to use this %s on %s, but an account there has it already.", thing, server),
		"If that was you and you have forgotten your password, ask for a new one where you log in. If it was not, you can ignore this message.",
	}
}
