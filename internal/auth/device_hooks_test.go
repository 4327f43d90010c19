package auth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrix"
)

// followed makes a service record the changes of devices in its database, in their
// transaction. The returned function returns the records since its last call.
func followed(t *testing.T, s *Service) func() string {
	t.Helper()
	_, err := s.pool.Exec(t.Context(), `CREATE TABLE followed (n bigserial, what text)`)
	must(t, err)
	write := func(ctx context.Context, tx pgx.Tx, userID, what string, deviceIDs []string) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO followed (what)
			SELECT $3 || string_agg(device_id, ' ' ORDER BY device_id) FROM devices WHERE user_id = $1 AND device_id = ANY($2)`,
			userID, deviceIDs, what)
		return err
	}
	s.Sessions.OnRemove(func(ctx context.Context, tx pgx.Tx, userID string, deviceIDs []string) error {
		return write(ctx, tx, userID, "without ", deviceIDs)
	})
	s.Sessions.OnRename(func(ctx context.Context, tx pgx.Tx, userID, deviceID string) error {
		return write(ctx, tx, userID, "another name for ", []string{deviceID})
	})
	return func() string {
		rows, _ := s.pool.Query(t.Context(), `WITH d AS (DELETE FROM followed RETURNING n, what) SELECT what FROM d ORDER BY n`)
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		must(t, err)
		return strings.Join(list, ", ")
	}
}

func TestWhatFollowsFromTheEndOfADeviceIsInItsTransaction(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	since := followed(t, s)
	password := testPassword
	for name, c := range map[string]struct {
		do   func(asking matrix.Session) error
		want string
	}{
		"logout":        {func(asking matrix.Session) error { return s.Sessions.Logout(t.Context(), asking) }, "a"},
		"logout of all": {func(asking matrix.Session) error { return s.Sessions.LogoutAll(t.Context(), asking.UserID) }, "a b c"},
		"one deleted": {func(asking matrix.Session) error {
			return s.Sessions.DeleteDevice(t.Context(), asking, "b", passwordAuth(t, asking.UserID, password, ""))
		}, "b"},
		"some deleted": {func(asking matrix.Session) error {
			return s.Sessions.DeleteDevices(t.Context(), asking, []string{"c", "none", "b"}, passwordAuth(t, asking.UserID, password, ""))
		}, "b c"},
		"password changed": {func(asking matrix.Session) error {
			return s.ChangePassword(t.Context(), asking, ChangePasswordRequest{
				NewPassword: "battery staple", Auth: passwordAuth(t, asking.UserID, password, ""),
			})
		}, "b c"},
		"password set by the operator": {func(asking matrix.Session) error {
			return s.SetPassword(t.Context(), asking.UserID, "battery staple", true)
		}, "a b c"},
		"deactivated": {func(asking matrix.Session) error {
			_, err := s.Deactivate(t.Context(), asking, DeactivateRequest{Auth: passwordAuth(t, asking.UserID, password, "")})
			return err
		}, "a b c"},
		"deactivated by the operator": {func(asking matrix.Session) error {
			return s.DeactivateAccount(t.Context(), asking.UserID, false)
		}, "a b c"},
	} {
		user := strings.ReplaceAll(name, " ", "-")
		a := mustRegister(t, s, user, func(r *RegisterRequest) { r.DeviceID = "a" })
		mustLogin(t, s, user, onDevice("b"))
		mustLogin(t, s, user, onDevice("c"))
		asking := mustAuthenticate(t, s, a.AccessToken)
		must(t, c.do(asking))
		if got := since(); got != "without "+c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestWhatFollowsFromTheEndOfASilentDevice(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	since := followed(t, s)
	mustRegister(t, s, "example", func(r *RegisterRequest) { r.DeviceID = "new" })
	_, err := s.pool.Exec(t.Context(), `
		INSERT INTO devices (user_id, device_id, created_at, last_seen_ts, last_seen_ip, user_agent)
		SELECT $1, 'old ' || n, 0, n, '', '' FROM generate_series(1, $2) n`, userID("example"), maxDevices-1)
	must(t, err)
	mustLogin(t, s, "example", onDevice("newer"))
	if got := since(); got != "without old 1" {
		t.Errorf("%q", got)
	}
}

func TestWhatFollowsFromANewNameOfADevice(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	since := followed(t, s)
	user := mustRegister(t, s, "example", func(r *RegisterRequest) { r.DeviceID = "a" }).UserID
	for _, step := range []struct {
		name *string
		want string
	}{
		{new(""), ""}, {new("one"), "another name for a"}, {new("one"), ""}, {nil, ""}, {new(""), "another name for a"},
	} {
		must(t, s.Sessions.RenameDevice(t.Context(), user, "a", step.name))
		if got := since(); got != step.want {
			t.Errorf("%q instead of %q", got, step.want)
		}
	}
}

func TestADeviceStaysAsItIsWhereWhatFollowsFails(t *testing.T) {
	t.Parallel()
	s, _ := newTestService(t)
	a := mustRegister(t, s, "example", func(r *RegisterRequest) { r.DeviceID = "a" })
	broken := errors.New("not now")
	s.Sessions.OnRemove(func(context.Context, pgx.Tx, string, []string) error { return broken })
	s.Sessions.OnRename(func(context.Context, pgx.Tx, string, string) error { return broken })
	for _, err := range []error{
		s.Sessions.Logout(t.Context(), mustAuthenticate(t, s, a.AccessToken)),
		s.Sessions.RenameDevice(t.Context(), a.UserID, "a", new("one")),
	} {
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	}
	d, err := s.Sessions.Device(t.Context(), a.UserID, "a")
	if must(t, err); d.DisplayName != "" {
		t.Errorf("it is %+v", d)
	}
	mustAuthenticate(t, s, a.AccessToken)
	if got := deviceIDs(t, s, a.UserID); !slices.Equal(got, []string{"a"}) {
		t.Errorf("devices are %v", got)
	}
}
