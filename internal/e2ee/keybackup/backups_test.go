package keybackup

import (
	"strconv"
	"testing"
	"time"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

func TestAUserHasABoundedNumberOfBackups(t *testing.T) {
	h := newEnv(t)
	var versions []string
	for range maxBackups {
		versions = append(versions, h.backup(alice))
	}
	_, err := h.Service.Create(t.Context(), alice, BackupRequest{Algorithm: new("x"), AuthData: []byte(`{}`)})
	matrixtest.WantCode(t, err, matrix.TooLarge)
	h.backup(bob)
	h.OK(h.Delete(t.Context(), alice, versions[3]))
	h.backup(alice)
	for range 2 * maxBackups {
		newest, err := h.Newest(t.Context(), alice)
		h.OK(err)
		h.OK(h.Delete(t.Context(), alice, newest.Version))
		if again := h.backup(alice); again <= newest.Version {
			t.Fatalf("version %s comes after %s", again, newest.Version)
		}
	}
	if n := h.number(`SELECT count(*) FROM key_backups WHERE user_id = $1`, alice); n > 2*maxBackups {
		t.Errorf("%d rows are kept", n)
	}
}

// A client that has kept the version of a backup which a restore of the database has taken away must
// not find another one there.
func TestVersionsAreNotUsedAgainAfterARestore(t *testing.T) {
	h := newEnv(t)
	lost, err := strconv.ParseInt(h.backup(alice), 10, 64)
	h.OK(err)
	if from := time.Now().Add(-time.Minute).Unix(); lost < from {
		t.Errorf("the version %d is not beyond %d, and may have been given before", lost, from)
	}
}

func TestDeactivationRemovesBackups(t *testing.T) {
	h := newEnv(t)
	h.put(alice, h.backup(alice), batch(2, 3, 0))
	h.put(alice, h.backup(alice), batch(2, 3, 0))
	kept := h.put(bob, h.backup(bob), batch(2, 3, 0))
	h.OK(h.Users.DeactivateAccount(t.Context(), alice, false))
	for range 2 {
		h.OK(h.RemoveAll(t.Context(), alice))
	}
	if n := h.number(`SELECT count(*) FROM key_backups`); n != 1 {
		t.Errorf("%d backups are left", n)
	}
	if n := h.number(`SELECT count(*) FROM room_keys`); n != kept.Count {
		t.Errorf("%d keys are left", n)
	}
	_, err := h.Service.Create(t.Context(), alice, BackupRequest{Algorithm: new("x"), AuthData: []byte(`{}`)})
	matrixtest.WantCode(t, err, matrix.UserDeactivated)
}
