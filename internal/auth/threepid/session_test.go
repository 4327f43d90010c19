package threepid_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func TestSubmitRefusals(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	s, err := h.RequestPhone(t.Context(), threepid.ForAccount, phone("07700 900001", 1))
	must(t, err)
	code := h.gateway.Last(t).Code()
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	for name, test := range map[string]struct {
		r    threepid.Submission
		want matrix.Code
	}{
		"no sid":         {threepid.Submission{ClientSecret: secret, Token: code}, matrix.MissingParam},
		"no secret":      {threepid.Submission{SID: s.SID, Token: code}, matrix.MissingParam},
		"no token":       {threepid.Submission{SID: s.SID, ClientSecret: secret}, matrix.MissingParam},
		"unknown":        {threepid.Submission{SID: "unknown", ClientSecret: secret, Token: code}, matrix.NoValidSession},
		"sid with NUL":   {threepid.Submission{SID: "a\x00b", ClientSecret: secret, Token: code}, matrix.NoValidSession},
		"another secret": {threepid.Submission{SID: s.SID, ClientSecret: "another", Token: code}, matrix.NoValidSession},
		"wrong code":     {threepid.Submission{SID: s.SID, ClientSecret: secret, Token: wrong}, matrix.TokenIncorrect},
	} {
		err := h.Submit(t.Context(), test.r)
		if !matrix.IsCode(err, test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	// A code is nothing for the page, which asks for no secret.
	_, err = h.Confirm(t.Context(), s.SID, code)
	matrixtest.WantCode(t, err, matrix.NoValidSession)
	_, err = h.Pending(t.Context(), s.SID, code)
	matrixtest.WantCode(t, err, matrix.NoValidSession)
	must(t, h.Submit(t.Context(), threepid.Submission{SID: s.SID, ClientSecret: secret, Token: code}))
}

func TestCodesCannotBeGuessed(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	s, err := h.RequestPhone(t.Context(), threepid.ForAccount, phone("07700 900001", 1))
	must(t, err)
	r := threepid.Submission{SID: s.SID, ClientSecret: secret, Token: "wrong"}
	for range 5 {
		matrixtest.WantCode(t, h.Submit(t.Context(), r), matrix.TokenIncorrect)
	}
	r.Token = h.gateway.Last(t).Code()
	matrixtest.WantCode(t, h.Submit(t.Context(), r), matrix.SessionExpired)

	// After a new code for the same session the user has no more guesses than before.
	_, err = h.RequestPhone(t.Context(), threepid.ForAccount, phone("07700 900001", 2))
	must(t, err)
	r.Token = h.gateway.Last(t).Code()
	matrixtest.WantCode(t, h.Submit(t.Context(), r), matrix.SessionExpired)
}

func TestSessionsExpire(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	sid := h.ask(t, threepid.ForAccount, email("a@example.org", 1))
	token := h.mail.LastLink(t).Query().Get("token")
	h.Pass(24 * time.Hour)
	_, err := h.Confirm(t.Context(), sid, token)
	matrixtest.WantCode(t, err, matrix.SessionExpired)
	_, err = h.Pending(t.Context(), sid, token)
	matrixtest.WantCode(t, err, matrix.NoValidSession)

	again := h.ask(t, threepid.ForAccount, email("a@example.org", 1))
	if again == sid {
		t.Error("an expired session was taken up again")
	}
	h.click(t)
	credentials := threepid.Credentials{SID: again, ClientSecret: secret}
	_, err = h.Validated(t.Context(), threepid.ForAccount, credentials)
	must(t, err)
	h.Pass(24 * time.Hour)
	_, err = h.Validated(t.Context(), threepid.ForAccount, credentials)
	matrixtest.WantCode(t, err, matrix.ThreepidAuthFailed)
	matrixtest.WantCode(t, h.claim(t, h.ClaimNew, again, h.user(t, "alice")), matrix.ThreepidAuthFailed)
}

func TestValidatedRefusals(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	sid := h.prove(t, threepid.ForAccount, "a@example.org")
	for _, test := range []struct {
		purpose     threepid.Purpose
		sid, secret string
		want        matrix.Code
	}{
		{threepid.ForAccount, "", secret, matrix.MissingParam},
		{threepid.ForAccount, sid, "", matrix.MissingParam},
		{threepid.ForAccount, sid, "another", matrix.ThreepidAuthFailed},
		{threepid.ForAccount, "another", secret, matrix.ThreepidAuthFailed},
		{threepid.ForPassword, sid, secret, matrix.ThreepidAuthFailed},
		{threepid.ForRegistration, sid, secret, matrix.ThreepidAuthFailed},
	} {
		_, err := h.Validated(t.Context(), test.purpose, threepid.Credentials{SID: test.sid, ClientSecret: test.secret})
		matrixtest.WantCode(t, err, test.want)
	}
	_, err := h.Validated(t.Context(), threepid.ForAccount, threepid.Credentials{SID: sid, ClientSecret: secret})
	must(t, err)
}

func TestClaimIsGoodOnce(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	alice, bob := h.user(t, "alice"), h.user(t, "bob")
	sid := h.prove(t, threepid.ForAccount, "a@example.org")
	must(t, h.claim(t, h.ClaimNew, sid, alice))
	matrixtest.WantCode(t, h.claim(t, h.ClaimNew, sid, alice), matrix.ThreepidAuthFailed)
	owner, err := h.Owner(t.Context(), threepid.Address{Medium: "email", Address: "a@example.org"})
	if err != nil || owner != alice {
		t.Errorf("got %s, %v", owner, err)
	}

	reset := h.prove(t, threepid.ForPassword, "a@example.org")
	matrixtest.WantCode(t, h.claim(t, h.ClaimOwned, reset, bob), matrix.ThreepidAuthFailed)
	must(t, h.claim(t, h.ClaimOwned, reset, alice)) // what failed did not use it up
	matrixtest.WantCode(t, h.claim(t, h.ClaimOwned, reset, alice), matrix.ThreepidAuthFailed)
}

func TestAddressBelongsToOneAccount(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	alice, bob := h.user(t, "alice"), h.user(t, "bob")
	// Both prove it while nobody has it.
	one := email("a@example.org", 1)
	other := one
	other.ClientSecret = "another"
	first := h.ask(t, threepid.ForAccount, one)
	h.click(t)
	second := h.ask(t, threepid.ForAccount, other)
	h.click(t)

	must(t, h.claim(t, h.ClaimNew, first, alice))
	matrixtest.WantCode(t, h.claim(t, h.ClaimNew, second, bob), matrix.ThreepidInUse)
	h.Pass(time.Minute)
	must(t, h.claim(t, h.ClaimNew, second, alice)) // proved anew

	got, err := h.List(t.Context(), alice)
	must(t, err)
	if len(got) != 1 || got[0].ValidatedAt != 1_700_000_000_000 || got[0].AddedAt != 1_700_000_000_000 {
		t.Errorf("got %+v", got)
	}
}

func TestUnconfirmedSessionCannotBeClaimed(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	sid := h.ask(t, threepid.ForAccount, email("a@example.org", 1))
	matrixtest.WantCode(t, h.claim(t, h.ClaimNew, sid, h.user(t, "alice")), matrix.ThreepidAuthFailed)
	h.click(t) // it is still there
}

func TestNothingSecretIsStored(t *testing.T) {
	t.Parallel()
	h := newEnv(t)
	h.ask(t, threepid.ForAccount, email("a@example.org", 1))
	token := h.mail.LastLink(t).Query().Get("token")
	_, err := h.RequestPhone(t.Context(), threepid.ForAccount, phone("07700 900001", 1))
	must(t, err)
	rows, err := h.pool.Query(t.Context(), `SELECT s::text FROM threepid_sessions s`)
	must(t, err)
	stored, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	all := strings.Join(stored, "\n")
	for _, hidden := range []string{secret, token, "," + h.gateway.Last(t).Code() + ","} {
		if strings.Contains(all, hidden) {
			t.Errorf("%q stands in the database:\n%s", hidden, all)
		}
	}
}

func TestCredentialsMayBeAList(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		`{"sid":"a","client_secret":"b"}`: 1,
		`[{"sid":"a"},{"sid":"b"}]`:       2,
		`[]`:                              0,
		`null`:                            0,
		`"a"`:                             -1,
		`[1]`:                             -1,
		`{"sid":1}`:                       -1,
	} {
		var got threepid.CredentialsList
		err := json.Unmarshal([]byte(text), &got)
		if (err != nil) != (want < 0) || want >= 0 && len(got) != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
		if want > 0 && got.First().SID != "a" {
			t.Errorf("%s: the first is %v", text, got.First())
		}
	}
}
