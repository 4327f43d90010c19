package serveridentity

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/postgres"
)

// claimLock is the key of the advisory lock under which identities are written. It only
// has to be the same in all versions of the server.
const claimLock = 0x6964656e74 // "ident"

// Identity is a server's identity for its users and for other servers.
type Identity struct {
	// ServerName is the part after the colon of every user ID.
	ServerName string
	// KeyID is that of the signing key: "ed25519:a_ABCD".
	KeyID string
	// PublicKey verifies signatures made with the key.
	PublicKey ed25519.PublicKey
}

// Of returns the identity of the server that signs with a signer.
func Of(signer *event.Signer) Identity {
	public, _ := signer.Key.Public().(ed25519.PublicKey)
	return Identity{ServerName: signer.ServerName, KeyID: signer.KeyID, PublicKey: public}
}

// is reports whether two identities are the same.
func (i Identity) is(other Identity) bool {
	return i.ServerName == other.ServerName && i.sameKey(other)
}

// sameKey reports whether two identities have the same signing key.
func (i Identity) sameKey(other Identity) bool {
	return i.KeyID == other.KeyID && i.PublicKey.Equal(other.PublicKey)
}

// Look finds the traces in a database. It is called where they matter.
type Look func(ctx context.Context) (Traces, error)

// Traces are the data of users in a database, which show whose it is.
type Traces struct {
	// Users reports that there are accounts.
	Users bool
	// ForeignUser is one of the accounts whose name ends in another server's; empty: none.
	ForeignUser string
	// Newest is the newest event that can be read; nil: there is none.
	Newest *event.Event
}

// any reports whether there is somebody or something that depends on the identity.
func (t Traces) any() bool { return t.Users || t.Newest != nil }

// MayMakeKey refuses to make a signing key in place of one that is not at the path, if the
// database needs that one: if it has traces.
func MayMakeKey(ctx context.Context, conn *pgx.Conn, look Look, path string) error {
	left, err := look(ctx)
	if err != nil || !left.any() {
		return err
	}
	stored, err := Stored(ctx, conn)
	if err != nil {
		return err
	}
	which := ""
	if stored != nil {
		which = " " + stored.KeyID
	}
	return fmt.Errorf("the signing key%s is missing: the database has users or events, and there is no %s: "+
		"set data_dir to the folder that holds it, or bring it back from a backup; "+
		"only if it is lost for good, run `homeserver signing-key adopt`", which, path)
}

// Claim notes that the database belongs to a server, or checks that it does. It refuses
// another name and another key than those noted, unless there are no traces of users and
// no other process uses the database. Where nothing is noted yet, because the database
// is older than the note, the traces decide.
func Claim(ctx context.Context, conn *pgx.Conn, id Identity, look Look) error {
	return locked(ctx, conn, func(tx pgx.Tx) error {
		stored, err := Stored(ctx, tx)
		if err != nil || stored != nil && stored.is(id) {
			return err
		}
		left, err := look(ctx)
		switch {
		case err != nil:
			return err
		case stored == nil:
			if err := left.agree(id); err != nil {
				return err
			}
		case left.any():
			return stored.refuse(id)
		case postgres.MustBeAlone(ctx, conn) != nil:
			return fmt.Errorf("another process uses the database: %w", stored.refuse(id))
		}
		return store(ctx, tx, id)
	})
}

// Verify checks that the database belongs to a server, and changes nothing.
func Verify(ctx context.Context, conn *pgx.Conn, id Identity, look Look) error {
	stored, err := Stored(ctx, conn)
	if err != nil {
		return err
	}
	if stored == nil {
		left, err := look(ctx)
		if err != nil {
			return err
		}
		return left.agree(id)
	}
	if !stored.is(id) {
		return stored.refuse(id)
	}
	return nil
}

// Adopt replaces the stored signing key by another one, and keeps the public part of
// the former. It returns the ID of the key before, empty if none was known. No process
// may use the database, and the name must be the one that it has.
func Adopt(ctx context.Context, conn *pgx.Conn, id Identity, look Look, now time.Time) (before string, err error) {
	if err := postgres.MustBeAlone(ctx, conn); err != nil {
		return "", err
	}
	left, err := look(ctx)
	if err != nil {
		return "", err
	}
	err = locked(ctx, conn, func(tx pgx.Tx) error {
		stored, err := Stored(ctx, tx)
		switch {
		case err != nil:
			return err
		case stored == nil && !left.any():
			err = errors.New("no server has used the database yet")
		case stored == nil:
			err = left.agreeOnName(id)
		case stored.ServerName != id.ServerName && left.any():
			err = stored.refuse(id)
		case stored.sameKey(id):
			before = stored.KeyID
		case stored.KeyID == id.KeyID:
			err = fmt.Errorf("the key has the ID %s, as the one before: give it another version, the second word of its file", id.KeyID)
		default:
			before = stored.KeyID
			err = retire(ctx, tx, *stored, now)
		}
		if err != nil {
			return err
		}
		return store(ctx, tx, id)
	})
	return before, err
}

// locked runs a transaction that no other process runs at the same time.
func locked(ctx context.Context, conn *pgx.Conn, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, claimLock); err != nil {
			return fmt.Errorf("wait for other processes that start: %w", err)
		}
		return do(tx)
	})
}

// refuse returns an error that says how another identity differs, and what to do.
func (i Identity) refuse(other Identity) error {
	if i.ServerName != other.ServerName {
		return wrongName(i.ServerName, other.ServerName)
	}
	if i.KeyID == other.KeyID {
		return fmt.Errorf("signing.key is another key than the database belongs to, under the same ID %s: %s", i.KeyID, keyAdvice)
	}
	return fmt.Errorf("signing.key holds the key %s, and the database belongs to the key %s: %s", other.KeyID, i.KeyID, keyAdvice)
}

const keyAdvice = "set data_dir to the folder that holds that key, or bring it back from a backup; " +
	"to go on with another key on purpose, run `homeserver signing-key adopt`"

func wrongName(is, configured string) error {
	return fmt.Errorf("the database belongs to the server %s, and this one is called %s: set server_name to %s, "+
		"or database.url or data_dir to another database; the name of a server that has users cannot change", is, configured, is)
}

// agree checks that the data of users can be of the server.
func (t Traces) agree(id Identity) error {
	if err := t.agreeOnName(id); err != nil {
		return err
	}
	if t.Newest != nil && t.Newest.VerifySignature(id.ServerName, id.KeyID, id.PublicKey) != nil {
		return fmt.Errorf("the newest event of the database is not signed with the key %s of signing.key: %s", id.KeyID, keyAdvice)
	}
	return nil
}

func (t Traces) agreeOnName(id Identity) error {
	if t.ForeignUser != "" {
		return wrongName(serverOf(t.ForeignUser), id.ServerName)
	}
	if t.Newest != nil && serverOf(t.Newest.Sender) != id.ServerName {
		return wrongName(serverOf(t.Newest.Sender), id.ServerName)
	}
	return nil
}

// serverOf returns the server name of a user ID.
func serverOf(userID string) string {
	_, name, _ := strings.Cut(userID, ":")
	return name
}
