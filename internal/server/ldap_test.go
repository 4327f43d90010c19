package server

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/jimlambrt/gldap"

	"homeserver/internal/matrixtest"
	"homeserver/internal/server/config"
)

// ldapPeople are the people of the directory, by the name that is looked for.
type ldapPeople map[string]ldapPerson

type ldapPerson struct{ dn, password, id, displayName string }

// startDirectory starts an LDAP directory, in which cn=matrix may look for people.
func startDirectory(t *testing.T, people ldapPeople) (address string) {
	t.Helper()
	directory, err := gldap.NewServer(gldap.WithLogger(hclog.New(&hclog.LoggerOptions{Output: io.Discard})))
	if err != nil {
		t.Fatal(err)
	}
	mux, err := gldap.NewMux()
	if err != nil {
		t.Fatal(err)
	}
	if err := mux.Bind(people.bind); err != nil {
		t.Fatal(err)
	}
	if err := mux.Search(people.search); err != nil {
		t.Fatal(err)
	}
	if err := directory.Router(mux); err != nil {
		t.Fatal(err)
	}
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = free.Addr().String()
	_ = free.Close()
	done := make(chan error, 1)
	go func() { done <- directory.Run(address) }()
	t.Cleanup(func() {
		_ = directory.Stop()
		if err := <-done; err != nil {
			t.Log(err)
		}
	})
	matrixtest.Until(t, "the directory listens", directory.Ready)
	return address
}

func (people ldapPeople) bind(w *gldap.ResponseWriter, r *gldap.Request) {
	answer := r.NewBindResponse(gldap.WithResponseCode(gldap.ResultInvalidCredentials))
	defer func() { _ = w.Write(answer) }()
	sent, err := r.GetSimpleBindMessage()
	if err != nil {
		return
	}
	isService := sent.UserName == "cn=matrix" && sent.Password == "hunter2"
	isNobody := sent.Password == "" // as real directories do
	for _, person := range people {
		isService = isService || sent.UserName == person.dn && string(sent.Password) == person.password
	}
	if isService || isNobody {
		answer.SetResultCode(gldap.ResultSuccess)
	}
}

func (people ldapPeople) search(w *gldap.ResponseWriter, r *gldap.Request) {
	answer := r.NewSearchDoneResponse(gldap.WithResponseCode(gldap.ResultSuccess))
	defer func() { _ = w.Write(answer) }()
	sent, err := r.GetSearchMessage()
	if err != nil || sent.BaseDN != "dc=example" {
		return
	}
	for name, person := range people {
		if sent.Filter == "(uid="+name+")" || sent.Filter == "(uid=*)" {
			_ = w.Write(r.NewSearchResponseEntry(person.dn, gldap.WithAttributes(map[string][]string{
				"entryUUID": {person.id}, "uid": {name}, "cn": {person.displayName},
			})))
		}
	}
}

// newLDAPServer starts a server that knows the directory at an address.
func newLDAPServer(t *testing.T, address string, change func(*config.Config)) *matrixtest.Client {
	t.Helper()
	cfg, open := testConfig(t), true
	cfg.Registration.Enabled = &open
	cfg.LDAP.URL, cfg.LDAP.BindDN, cfg.LDAP.BindPassword = "ldap://"+address, "cn=matrix", "hunter2"
	cfg.LDAP.BaseDN, cfg.LDAP.Filter = "dc=example", "(uid={name})"
	if change != nil {
		change(cfg)
	}
	return clientAt(t, mustStart(t, cfg), 0)
}

var ldapHouse = ldapPeople{
	"alice": {"uid=alice,dc=example", "alice's password", "1111", "Alice Example"},
	"bob":   {"uid=bob,dc=example", "bob's password", "2222", ""},
	"carol": {"uid=carol,dc=example", "carol's password", "3333", ""},
}

func TestPeopleOfADirectoryLogIn(t *testing.T) {
	t.Parallel()
	c := newLDAPServer(t, startDirectory(t, ldapHouse), nil)
	alice := c.Login("alice", "alice's password")
	if alice.UserID != "@alice:localhost" {
		t.Errorf("logged in as %s", alice.UserID)
	}
	if name := alice.Do(http.MethodGet, matrixtest.Path("profile", alice.UserID), nil).OK().String("displayname"); name != "Alice Example" {
		t.Errorf("the name shown is %s", name)
	}
	if again := c.Login("@alice:localhost", "alice's password"); again.UserID != alice.UserID {
		t.Errorf("then as %s", again.UserID)
	}
	auth := map[string]any{"type": "m.login.password", "user": "alice", "password": "alice's password"}
	alice.Do(http.MethodPost, "/delete_devices", map[string]any{"devices": []string{"OTHER"}, "auth": auth}).OK()
	alice.Do(http.MethodPost, "/account/password", map[string]any{"new_password": "other wordpass", "auth": auth}).Refused(403, "M_FORBIDDEN")
}

func TestWrongPasswordsOfADirectory(t *testing.T) {
	t.Parallel()
	c := newLDAPServer(t, startDirectory(t, ldapHouse), nil)
	for name, try := range map[string][2]string{
		"wrong":         {"alice", "bob's password"},
		"none":          {"alice", ""},
		"nobody":        {"dave", "alice's password"},
		"a filter":      {"*", "alice's password"},
		"other service": {"matrix", "hunter2"},
	} {
		body := map[string]any{"type": "m.login.password", "identifier": map[string]any{"type": "m.id.user", "user": try[0]}, "password": try[1]}
		if got := c.Do(http.MethodPost, "/login", body); got.Status != http.StatusForbidden || got.Errcode() != "M_FORBIDDEN" {
			t.Errorf("%s: got %d %s", name, got.Status, got.Body)
		}
	}
}

func TestAccountOfTheSameNameIsNotThatOfTheDirectory(t *testing.T) {
	t.Parallel()
	c := newLDAPServer(t, startDirectory(t, ldapHouse), func(cfg *config.Config) { cfg.LDAP.UserName = "{uid}" })
	mine := c.Register("alice", "password of mine")
	login := func(password string) *matrixtest.Response {
		return c.Do(http.MethodPost, "/login", map[string]any{"type": "m.login.password", "user": "alice", "password": password})
	}
	login("alice's password").Refused(403, "M_FORBIDDEN")
	if got := login("password of mine").OK().String("user_id"); got != mine.UserID {
		t.Errorf("logged in as %s", got)
	}
	// Nor is one without a password.
	bot := c.Do(http.MethodPost, "/register", map[string]any{"username": "bob", "auth": map[string]any{"type": "m.login.dummy"}}).OK()
	got := c.Do(http.MethodPost, "/login", map[string]any{"type": "m.login.password", "user": "bob", "password": "bob's password"})
	if got.Refused(403, "M_FORBIDDEN"); bot.String("user_id") != "@bob:localhost" {
		t.Errorf("got %s", bot.Body)
	}
}

func TestDirectoryThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	c := newLDAPServer(t, closed.Addr().String(), nil)
	carol := c.Register("carol", "password of mine")
	if again := c.Login("carol", "password of mine"); again.UserID != carol.UserID {
		t.Errorf("logged in as %s", again.UserID)
	}
	got := c.Do(http.MethodPost, "/login", map[string]any{"type": "m.login.password", "user": "alice", "password": "alice's password"})
	if got.Status != http.StatusServiceUnavailable || strings.Contains(string(got.Body), closed.Addr().String()) {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
}

func TestDirectoryMayOnlyLinkAccounts(t *testing.T) {
	t.Parallel()
	c := newLDAPServer(t, startDirectory(t, ldapHouse), func(cfg *config.Config) { cfg.LDAP.LinkOnly = true })
	c.Do(http.MethodPost, "/login", map[string]any{"type": "m.login.password", "user": "alice", "password": "alice's password"}).Refused(403, "M_FORBIDDEN")
}

func TestManyLogInsAtADirectoryMakeOneAccount(t *testing.T) {
	t.Parallel()
	c := newLDAPServer(t, startDirectory(t, ldapHouse), nil)
	const logins = 8
	answers := make(chan *matrixtest.Response, logins)
	for i := range logins {
		go func() {
			answers <- c.Do(http.MethodPost, "/login", map[string]any{
				"type": "m.login.password", "user": "bob", "password": "bob's password", "device_id": "D" + strconv.Itoa(i),
			})
		}()
	}
	for range logins {
		if got := <-answers; got.Status != http.StatusOK || got.String("user_id") != "@bob:localhost" {
			t.Errorf("got %d %s", got.Status, got.Body)
		}
	}
}
