package profile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

var alice = matrix.Session{UserID: "@alice:localhost", DeviceID: "PHONE"}

// newService returns a service on a database of its own, with the user alice.
func newService(t *testing.T) *Service {
	t.Helper()
	return processOn(t, newDatabase(t))
}

// processOn returns the service of one more process on a database, with the hooks that it has
// before it starts.
func processOn(t *testing.T, pool *pgxpool.Pool, hooks ...func(context.Context, string, Profile) error) *Service {
	t.Helper()
	j := journal.New(pool, journal.Options{})
	s := New(pool, j)
	for _, hook := range hooks {
		s.OnChange(hook)
	}
	if err := j.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

// stop ends a process; it may be called again.
func stop(t *testing.T, s *Service) {
	t.Helper()
	if err := s.journal.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// newDatabase returns a database with the user alice.
func newDatabase(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := postgrestest.New(t)
	users := auth.New(pool, auth.Options{ServerName: "localhost"})
	if _, err := users.CreateAccount(t.Context(), auth.NewAccount{Username: "alice"}); err != nil {
		t.Fatal(err)
	}
	return pool
}

func set(t *testing.T, s *Service, name, value string) {
	t.Helper()
	if err := s.Set(t.Context(), alice, alice.UserID, name, json.RawMessage(value)); err != nil {
		t.Fatalf("set %s: %v", name, err)
	}
}

// whole returns alice's profile as JSON.
func whole(t *testing.T, s *Service) string {
	t.Helper()
	p, err := s.Get(t.Context(), alice.UserID)
	if err != nil {
		t.Fatal(err)
	}
	text, err := matrix.EncodeJSON(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestProfileOfUserWhoHasSetNothing(t *testing.T) {
	t.Parallel()
	s := newService(t)
	if got := whole(t, s); got != `{}` {
		t.Errorf("got %s", got)
	}
	for _, name := range []string{DisplayName, AvatarURL, TimeZone, "org.example.x"} {
		_, err := s.Field(t.Context(), alice.UserID, name)
		matrixtest.WantCode(t, err, matrix.NotFound, name)
	}
}

func TestProfileOfNobody(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for userID, code := range map[string]matrix.Code{
		"@nobody:localhost": matrix.NotFound, "@alice:elsewhere.example": matrix.NotFound,
		"alice": matrix.InvalidParam, "": matrix.InvalidParam, "@alice": matrix.InvalidParam,
	} {
		_, err := s.Get(t.Context(), userID)
		matrixtest.WantCode(t, err, code, userID)
		_, err = s.Field(t.Context(), userID, DisplayName)
		matrixtest.WantCode(t, err, code, userID)
	}
}

func TestSetAndDelete(t *testing.T) {
	t.Parallel()
	s := newService(t)
	set(t, s, DisplayName, `"Alice <3 \"ü\""`)
	set(t, s, AvatarURL, `"mxc://localhost/cat"`)
	set(t, s, TimeZone, `"Europe/Berlin"`)
	set(t, s, "org.example.any", `{ "a" : [1.50, null, "\u0000", "<"] }`)
	set(t, s, "org.example.null", `null`)
	want := `{"avatar_url":"mxc://localhost/cat","displayname":"Alice <3 \"ü\"","m.tz":"Europe/Berlin",` +
		`"org.example.any":{"a":[1.50,null,"\u0000","<"]},"org.example.null":null}`
	if diff := cmp.Diff(want, whole(t, s)); diff != "" {
		t.Error(diff)
	}
	for name, value := range map[string]string{
		DisplayName: `"Alice <3 \"ü\""`, AvatarURL: `"mxc://localhost/cat"`, "org.example.null": `null`,
	} {
		if got, err := s.Field(t.Context(), alice.UserID, name); err != nil || string(got) != value {
			t.Errorf("%s: %s %v, want %s", name, got, err, value)
		}
	}
	for _, name := range []string{DisplayName, AvatarURL, TimeZone, "org.example.any", "org.example.null", "org.example.never"} {
		if err := s.Delete(t.Context(), alice, alice.UserID, name); err != nil {
			t.Errorf("delete %s: %v", name, err)
		}
	}
	if got := whole(t, s); got != `{}` {
		t.Errorf("after deleting all: %s", got)
	}
}

func TestEmptyTextIsNone(t *testing.T) {
	t.Parallel()
	s := newService(t)
	set(t, s, DisplayName, `"Alice"`)
	set(t, s, AvatarURL, `"mxc://localhost/cat"`)
	set(t, s, DisplayName, `""`)
	set(t, s, AvatarURL, `""`)
	if got := whole(t, s); got != `{}` {
		t.Errorf("got %s", got)
	}
}

func TestOnlyTheOwnerMayChange(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, userID := range []string{"@bob:localhost", "@alice:elsewhere.example", "", "@ALICE:localhost"} {
		matrixtest.WantCode(t, s.Set(t.Context(), alice, userID, DisplayName, json.RawMessage(`"x"`)), matrix.Forbidden, userID)
		matrixtest.WantCode(t, s.Delete(t.Context(), alice, userID, DisplayName), matrix.Forbidden, userID)
	}
}

func TestNamesOfFields(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, good := range []string{"m.tz", "m.future_field", "org.example.job-title", "a.b", "a.1", "org." + strings.Repeat("x", 251)} {
		set(t, s, good, `"x"`)
	}
	for _, bad := range []string{"", "job", "Org.example", "1.a", ".a", "a.", "-a.b", "org.exämple", "org example.x", "a.b\x00", "a.B"} {
		matrixtest.WantCode(t, s.Set(t.Context(), alice, alice.UserID, bad, json.RawMessage(`1`)), matrix.InvalidParam, bad)
		matrixtest.WantCode(t, s.Delete(t.Context(), alice, alice.UserID, bad), matrix.InvalidParam, bad)
	}
	long := "org." + strings.Repeat("x", 252)
	matrixtest.WantCode(t, s.Set(t.Context(), alice, alice.UserID, long, json.RawMessage(`1`)), keyTooLarge, "too long")
}

func TestValuesThatCannotBe(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, test := range []struct {
		name, value string
		code        matrix.Code
	}{
		{DisplayName, `1`, matrix.BadJSON},
		{DisplayName, `null`, matrix.BadJSON},
		{DisplayName, `["a"]`, matrix.BadJSON},
		{DisplayName, `"a\u0000"`, matrix.InvalidParam},
		{DisplayName, `"` + strings.Repeat("ü", MaxDisplayNameRunes+1) + `"`, matrix.InvalidParam},
		{AvatarURL, `{}`, matrix.BadJSON},
		{AvatarURL, `"a\u0000"`, matrix.InvalidParam},
		{AvatarURL, `"mxc://localhost/` + strings.Repeat("x", MaxAvatarURLBytes) + `"`, matrix.InvalidParam},
		{TimeZone, `5`, matrix.BadJSON},
		{TimeZone, `"` + strings.Repeat("x", 256) + `"`, matrix.InvalidParam},
		{"org.example.x", `{`, matrix.NotJSON},
		{"org.example.x", ``, matrix.NotJSON},
		{"org.example.x", `{"n":1e400}`, matrix.BadJSON},
	} {
		err := s.Set(t.Context(), alice, alice.UserID, test.name, json.RawMessage(test.value))
		matrixtest.WantCode(t, err, test.code, fmt.Sprintf("%s %.40s", test.name, test.value))
	}
	set(t, s, DisplayName, `"`+strings.Repeat("ü", MaxDisplayNameRunes)+`"`)
}

// Bridges and old clients set pictures that are no files of a content repository.
func TestAvatarMustBeAnMXCURI(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, uri := range []string{"https://example.org/cat.png", "mxc://localhost", "cat", strings.Repeat("x", MaxAvatarURLBytes)} {
		set(t, s, AvatarURL, `"`+uri+`"`)
		if got := whole(t, s); got != `{"avatar_url":"`+uri+`"}` {
			t.Errorf("got %s, want %s", got, uri)
		}
	}
}

func TestWholeProfileStaysBelowItsLimit(t *testing.T) {
	t.Parallel()
	s := newService(t)
	// {"org.example.a":"…"} is 20 bytes longer than its text.
	fill := func(n int) json.RawMessage { return json.RawMessage(`"` + strings.Repeat("x", n) + `"`) }
	const most = MaxProfileBytes - 1 - 20
	err := s.Set(t.Context(), alice, alice.UserID, "org.example.a", fill(most+1))
	matrixtest.WantCode(t, err, tooLarge, "one byte too many")
	if err := s.Set(t.Context(), alice, alice.UserID, "org.example.a", fill(most)); err != nil {
		t.Fatalf("the largest profile: %v", err)
	}
	matrixtest.WantCode(t, s.Set(t.Context(), alice, alice.UserID, DisplayName, json.RawMessage(`"A"`)), tooLarge, "a second field")
	if got := len(whole(t, s)); got != MaxProfileBytes-1 {
		t.Errorf("the profile has %d bytes", got)
	}
	if err := s.Delete(t.Context(), alice, alice.UserID, "org.example.a"); err != nil {
		t.Error(err)
	}
	set(t, s, DisplayName, `"A"`)
}

func TestHooksSeeWhatIsStored(t *testing.T) {
	t.Parallel()
	s := newService(t)
	var seen []string
	s.OnChange(func(_ context.Context, userID string, p Profile) error {
		seen = append(seen, userID+" "+p.DisplayName+" "+p.AvatarURL)
		return nil
	})
	set(t, s, DisplayName, `"Alice"`)
	set(t, s, DisplayName, `"Alice"`)
	set(t, s, AvatarURL, `"mxc://localhost/cat"`)
	set(t, s, "org.example.x", `1`)
	if err := s.Delete(t.Context(), alice, alice.UserID, DisplayName); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"@alice:localhost Alice ", "@alice:localhost Alice ", "@alice:localhost Alice mxc://localhost/cat",
		"@alice:localhost  mxc://localhost/cat",
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestHookThatFailsIsNotKeptSecret(t *testing.T) {
	t.Parallel()
	s := newService(t)
	broken := errors.New("no rooms today")
	fail := true
	s.OnChange(func(context.Context, string, Profile) error {
		if fail {
			return broken
		}
		return nil
	})
	if err := s.Set(t.Context(), alice, alice.UserID, DisplayName, json.RawMessage(`"Alice"`)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	fail = false
	set(t, s, DisplayName, `"Alice"`)
}

// TestLastHookSeesLastChange has many clients change the name at once, and holds
// the hooks up so that they would run out of order.
func TestLastHookSeesLastChange(t *testing.T) {
	t.Parallel()
	s := newService(t)
	var mu sync.Mutex
	last := ""
	s.OnChange(func(_ context.Context, _ string, p Profile) error {
		mu.Lock()
		defer mu.Unlock()
		last = p.DisplayName
		return nil
	})
	var clients sync.WaitGroup
	for i := range 16 {
		clients.Go(func() {
			name := json.RawMessage(fmt.Sprintf(`"Alice %d"`, i))
			if err := s.Set(t.Context(), alice, alice.UserID, DisplayName, name); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	p, err := s.Get(t.Context(), alice.UserID)
	if err != nil || p.DisplayName == "" || p.DisplayName != last {
		t.Errorf("stored %q, last announced %q, %v", p.DisplayName, last, err)
	}
}

// TestChangeWhileAHookRuns makes one client's hook slow, and has another change
// the name meanwhile: the slow one must bring the newer name, not its own.
func TestChangeWhileAHookRuns(t *testing.T) {
	t.Parallel()
	s := newService(t)
	var seen []string
	s.OnChange(func(ctx context.Context, userID string, p Profile) error {
		seen = append(seen, p.DisplayName)
		if len(seen) == 1 {
			other := New(s.pool, nil)
			return other.Set(ctx, alice, userID, DisplayName, json.RawMessage(`"second"`))
		}
		return nil
	})
	set(t, s, DisplayName, `"first"`)
	waitUntilTold(t, s)
	stop(t, s)
	if diff := cmp.Diff([]string{"first", "second"}, seen); diff != "" {
		t.Error(diff)
	}
}

func TestFieldsChangedAtOnceAllStay(t *testing.T) {
	t.Parallel()
	s := newService(t)
	var clients sync.WaitGroup
	for i := range 16 {
		clients.Go(func() {
			name := fmt.Sprintf("org.example.f%d", i)
			if err := s.Set(t.Context(), alice, alice.UserID, name, json.RawMessage(`1`)); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	p, err := s.Get(t.Context(), alice.UserID)
	if err != nil || len(p.Fields) != 16 {
		t.Errorf("%d fields, %v", len(p.Fields), err)
	}
}

func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.pool.Close()
	ctx := t.Context()
	for what, err := range map[string]error{
		"Get":    second(s.Get(ctx, alice.UserID)),
		"Field":  second(s.Field(ctx, alice.UserID, DisplayName)),
		"Set":    s.Set(ctx, alice, alice.UserID, DisplayName, json.RawMessage(`"x"`)),
		"Delete": s.Delete(ctx, alice, alice.UserID, DisplayName),
	} {
		var public *matrix.Error
		if err == nil || errors.As(err, &public) {
			t.Errorf("%s: got %v, want an internal error", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
