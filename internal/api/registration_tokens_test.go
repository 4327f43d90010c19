package api

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth"
	"homeserver/internal/auth/oauth"
	"homeserver/internal/auth/registrationtoken"
	"homeserver/internal/auth/terms"
	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// byPolicy returns a server that registers people by a policy, and its tokens.
func byPolicy(t *testing.T, policy auth.RegistrationPolicy) (*matrixtest.Client, *registrationtoken.Service) {
	t.Helper()
	pool := postgrestest.New(t)
	opts := servicesOn(t, pool)
	opts.Stages = uia.New(pool, nil)
	opts.Auth = auth.New(pool, auth.Options{ServerName: "localhost", RegistrationEnabled: true, Stages: opts.Stages, Policy: policy})
	opts.OAuth = oauth.New(oauth.Options{Pool: pool, Accounts: opts.Auth, Stages: opts.Stages, BaseURL: "http://localhost:8008", ServerName: "localhost"})
	opts.RegistrationTokens = registrationtoken.New(pool, opts.Stages, nil)
	return matrixtest.New(t, newAPI(t, opts).Handler()), opts.RegistrationTokens
}

var needsToken = auth.RegistrationPolicy{Stages: []string{uia.StageRegistrationToken}}

// makeToken makes a token for so many accounts; 0: for any number.
func makeToken(t *testing.T, tokens *registrationtoken.Service, text string, uses int32) {
	t.Helper()
	wanted := registrationtoken.Token{Token: text}
	if uses > 0 {
		wanted.Uses = &uses
	}
	if _, err := tokens.Create(t.Context(), wanted); err != nil {
		t.Fatal(err)
	}
}

// registerWith registers with a token in one request.
func registerWith(c *matrixtest.Client, name string, token any) *matrixtest.Response {
	return c.Do("POST", "/register", map[string]any{
		"username": name, "password": "wordpass", "auth": map[string]any{"type": uia.StageRegistrationToken, "token": token},
	})
}

func TestRegisterWithAToken(t *testing.T) {
	t.Parallel()
	c, tokens := byPolicy(t, needsToken)
	makeToken(t, tokens, "family", 2)
	asked := c.Do("POST", "/register", `{"username":"alice","password":"wordpass"}`)
	if diff := cmp.Diff(any([]any{map[string]any{"stages": []any{uia.StageRegistrationToken}}}), asked.At("flows")); asked.Status != 401 || diff != "" {
		t.Errorf("%d: %s", asked.Status, diff)
	}
	c.Do("POST", "/register", map[string]any{"username": "alice", "password": "wordpass", "auth": map[string]any{
		"type": uia.StageRegistrationToken, "token": "family", "session": asked.String("session"),
	}}).OK()
	registerWith(c, "bob", "family").OK()
	c.Login("bob", "wordpass")

	registerWith(c, "carol", "family").Refused(401, "M_UNAUTHORIZED")
	registerWith(c, "carol", "other").Refused(401, "M_UNAUTHORIZED")
	registerWith(c, "carol", "nul\x00").Refused(401, "M_UNAUTHORIZED")
	registerWith(c, "carol", 5).Refused(400, "M_BAD_JSON")
	registerWith(c, "carol", nil).Refused(400, "M_MISSING_PARAM")
	c.Do("POST", "/register", `{"username":"carol","auth":{"type":"m.login.dummy"}}`).Refused(401, "M_UNRECOGNIZED")
	c.Do("GET", "/register/available?username=carol", nil).OK()
}

func TestATokenForOneNeverRegistersTwo(t *testing.T) {
	t.Parallel()
	c, tokens := byPolicy(t, needsToken)
	makeToken(t, tokens, "single", 1)
	var made atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if registerWith(c, fmt.Sprintf("user%d", i), "single").Status == 200 {
				made.Add(1)
			}
		})
	}
	all.Wait()
	list, err := tokens.List(t.Context())
	if err != nil || made.Load() != 1 || len(list) != 1 || list[0].Used != 1 {
		t.Errorf("%d accounts, tokens %+v, %v", made.Load(), list, err)
	}
}

func TestARefusedRegistrationUsesNoToken(t *testing.T) {
	t.Parallel()
	c, tokens := byPolicy(t, needsToken)
	makeToken(t, tokens, "twice", 2)
	registerWith(c, "alice", "twice").OK()
	registerWith(c, "alice", "twice").Refused(400, "M_USER_IN_USE")
	registerWith(c, "bob", "twice").OK()
}

func TestADeletedTokenIsWorthNothing(t *testing.T) {
	t.Parallel()
	c, tokens := byPolicy(t, auth.RegistrationPolicy{Stages: []string{uia.StageRegistrationToken, uia.StageDummy}})
	makeToken(t, tokens, "recalled", 0)
	session := registerWith(c, "alice", "recalled").String("session")
	if session == "" {
		t.Fatal("the stage is not completed")
	}
	if err := tokens.Delete(t.Context(), "recalled"); err != nil {
		t.Fatal(err)
	}
	c.Do("POST", "/register", map[string]any{
		"username": "alice", "password": "wordpass", "auth": map[string]any{"type": "m.login.dummy", "session": session},
	}).Refused(401, "M_UNAUTHORIZED")
	matrixtest.WantCode(t, tokens.Delete(t.Context(), "recalled"), matrix.NotFound)
}

func TestValidityOfTokens(t *testing.T) {
	t.Parallel()
	c, tokens := byPolicy(t, needsToken)
	makeToken(t, tokens, "once", 1)
	soon := time.Now().Add(time.Hour).UnixMilli()
	if _, err := tokens.Create(t.Context(), registrationtoken.Token{Token: "soon", ExpiresAt: &soon}); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"/_matrix/client/v1", "/_matrix/client/unstable/org.matrix.msc3231"} {
		valid := func(token string) any {
			return c.Do("GET", prefix+"/register/m.login.registration_token/validity?token="+url.QueryEscape(token), nil).OK().At("valid")
		}
		for token, want := range map[string]bool{"once": true, "soon": true, "other": false, "nul\x01": false, strings.Repeat("x", 65): false} {
			if got := valid(token); got != want {
				t.Errorf("%q is valid: %v", token, got)
			}
		}
		c.Do("GET", prefix+"/register/m.login.registration_token/validity", nil).Refused(400, "M_MISSING_PARAM")
	}
	registerWith(c, "alice", "once").OK()
	if got := c.Do("GET", "/_matrix/client/v1/register/m.login.registration_token/validity?token=once", nil).OK().At("valid"); got != false {
		t.Errorf("a used token is valid: %v", got)
	}

	closed := services(t)
	closed.Auth = auth.New(postgrestest.New(t), auth.Options{ServerName: "localhost"})
	matrixtest.New(t, newAPI(t, closed).Handler()).
		Do("GET", "/_matrix/client/v1/register/m.login.registration_token/validity?token=x", nil).Refused(403, "M_FORBIDDEN")
}

func TestTokensThatCannotBe(t *testing.T) {
	t.Parallel()
	_, tokens := byPolicy(t, needsToken)
	makeToken(t, tokens, "there", 0)
	none, past := int32(0), int64(1)
	for name, token := range map[string]registrationtoken.Token{
		"there already": {Token: "there"}, "a space": {Token: "a b"}, "too long": {Token: strings.Repeat("x", 65)},
		"no use": {Uses: &none}, "expired": {ExpiresAt: &past},
	} {
		_, err := tokens.Create(t.Context(), token)
		matrixtest.WantCode(t, err, matrix.InvalidParam, name)
	}
}

func TestUserNamesByPolicy(t *testing.T) {
	t.Parallel()
	c, _ := byPolicy(t, auth.RegistrationPolicy{Names: regexp.MustCompile(`^(?:[a-z]+\.[a-z]+)$`), Reserved: []string{"the.admin"}})
	for _, name := range []string{"alice", "the.admin", "The.Admin"} {
		c.Do("POST", "/register", map[string]any{"username": name, "auth": map[string]any{"type": "m.login.dummy"}}).Refused(400, "M_INVALID_USERNAME")
		c.Do("GET", "/register/available?username="+name, nil).Refused(400, "M_INVALID_USERNAME")
	}
	c.Do("POST", "/register", `{"username":"alice.liddell","auth":{"type":"m.login.dummy"}}`).OK()
	c.Do("POST", "/register", `{"auth":{"type":"m.login.dummy"}}`).OK()
}

func TestRegistrationThatNeedsAnAddress(t *testing.T) {
	t.Parallel()
	c, _ := byPolicy(t, auth.RegistrationPolicy{Stages: []string{uia.StageRegistrationToken}, NeedEmail: true})
	asked := c.Do("POST", "/register", `{"username":"alice"}`)
	if diff := cmp.Diff(any([]any{map[string]any{"stages": []any{uia.StageRegistrationToken, uia.StageEmail}}}), asked.At("flows")); diff != "" {
		t.Error(diff)
	}
}

func TestRegistrationAsksToAcceptDocuments(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	opts := servicesOn(t, pool)
	opts.Stages = uia.New(pool, nil)
	terms.Register(opts.Stages, map[string]terms.Document{"privacy_policy": {Version: "1.2", Texts: []terms.Text{
		{Language: "en", Name: "Privacy policy", URL: "https://example.org/en"}, {Language: "fr", Name: "Confidentialité", URL: "https://example.org/fr"},
	}}}, time.Now)
	opts.RegistrationTokens = registrationtoken.New(pool, opts.Stages, nil)
	makeToken(t, opts.RegistrationTokens, "family", 0)
	opts.Auth = auth.New(pool, auth.Options{
		ServerName: "localhost", RegistrationEnabled: true, Stages: opts.Stages,
		Policy: auth.RegistrationPolicy{Stages: []string{uia.StageRegistrationToken, uia.StageTerms}},
	})
	c := matrixtest.New(t, newAPI(t, opts).Handler())

	asked := registerWith(c, "alice", "family")
	want := map[string]any{"version": "1.2", "en": map[string]any{"name": "Privacy policy", "url": "https://example.org/en"},
		"fr": map[string]any{"name": "Confidentialité", "url": "https://example.org/fr"}}
	if diff := cmp.Diff(any(want), asked.At("params", uia.StageTerms, "policies", "privacy_policy")); asked.Status != 401 || diff != "" {
		t.Errorf("%d: %s", asked.Status, diff)
	}
	session := map[string]any{"session": asked.String("session")}
	page := "/_matrix/client/v3/auth/m.login.terms/fallback/web?session=" + asked.String("session")
	if shown := c.Do("GET", page, nil); shown.Status != 200 || !strings.Contains(string(shown.Body), "https://example.org/fr") {
		t.Errorf("the page does not link the documents: %d %s", shown.Status, shown.Body)
	}
	if refused := c.Do("POST", page, ""); refused.Status != 400 {
		t.Errorf("accepted without a tick: %d", refused.Status)
	}
	if early := c.Do("POST", "/register", map[string]any{"username": "alice", "auth": session}); early.Status != 401 {
		t.Errorf("registered without accepting: %d %s", early.Status, early.Body)
	}
	if done := c.Do("POST", page, "accept=yes"); done.Status != 200 {
		t.Errorf("accepting on the page: %d %s", done.Status, done.Body)
	}
	c.Do("POST", "/register", map[string]any{"username": "alice", "auth": session}).OK()
	made, err := opts.Auth.RegisterOnPage(t.Context(), auth.PageRegistration{Username: "bob", Password: "wordpass", Token: "family", Accepted: true}, matrix.Client{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = opts.Auth.RegisterOnPage(t.Context(), auth.PageRegistration{Username: "carol", Password: "wordpass", Token: "family"}, matrix.Client{})
	matrixtest.WantCode(t, err, matrix.MissingParam)

	rows, err := pool.Query(t.Context(), `SELECT user_id FROM accepted_terms WHERE document = 'privacy_policy' AND version = '1.2' AND accepted_at > 0 ORDER BY user_id`)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if diff := cmp.Diff([]string{"@alice:localhost", made}, accepted); err != nil || diff != "" {
		t.Errorf("%v: %s", err, diff)
	}
}
