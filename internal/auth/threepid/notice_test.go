package threepid_test

import (
	"strings"
	"testing"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/matrixtest"
)

func TestNoticeGoesByTextMessageWhereThereIsNoMail(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	alice := h.user(t, "alice")
	s, err := h.RequestPhone(t.Context(), threepid.ForAccount, phone("07700 900001", 1))
	must(t, err)
	must(t, h.Submit(t.Context(), threepid.Submission{SID: s.SID, ClientSecret: secret, Token: h.gateway.Last(t).Code()}))
	must(t, h.claim(t, h.ClaimNew, s.SID, alice))
	h.NotifyNewPassword(t.Context(), alice)
	h.Stop()
	if got := h.gateway.Last(t); got.To != "+447700900001" || !strings.Contains(got.Text, "password of "+alice+" was changed") {
		t.Errorf("got %+v", got)
	}

	h.give(t, alice, "a@example.org")
	sent := len(h.gateway.Messages())
	h.NotifyNewPassword(t.Context(), alice)
	h.Stop()
	if got := h.mail.Last(t); !strings.Contains(got.Plain, "password of "+alice) || got.Link() != nil {
		t.Errorf("got the mail %s", got.Plain)
	}
	if got := h.gateway.Messages(); len(got) != sent {
		t.Errorf("a text message, too: %+v", got[sent:])
	}
}

// What strangers ask for must not use up what warns the owner.
func TestNoticeComesAfterManyMailsThatStrangersAskedFor(t *testing.T) {
	t.Parallel()
	h := newEnv(t, limitMails(2))
	alice := h.user(t, "alice")
	h.give(t, alice, "a@example.org")
	h.ask(t, threepid.ForPassword, email("a@example.org", 1))
	_, err := h.RequestEmail(t.Context(), threepid.ForPassword, email("a@example.org", 2))
	matrixtest.WantCode(t, err, "M_LIMIT_EXCEEDED")
	for range 3 {
		h.NotifyNewPassword(t.Context(), alice)
		h.Stop()
	}
	if n := len(h.mail.Mails()); n != 2+2 {
		t.Errorf("%d mails have come, want two that were asked for and two notices", n)
	}
}
