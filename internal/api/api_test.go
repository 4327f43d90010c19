package api

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/api/client"
	"homeserver/internal/auth"
	"homeserver/internal/auth/identity"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/uia"
	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/media"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/reports"
	"homeserver/internal/personal/search"
	"homeserver/internal/personal/thirdpartyinvite"
	"homeserver/internal/personal/turn"
	"homeserver/internal/personal/typing"
	"homeserver/internal/personal/userdirectory"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/safehttp"
	"homeserver/internal/syncstream"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// sharedSecret is the one of the servers that newServer makes.
const sharedSecret = "correct horse"

// services are real ones on a database of the test's own.
func services(t testing.TB) Options { return servicesOn(t, postgrestest.New(t)) }

// testSigner signs for the servers of all tests.
var testSigner = &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}

// servicesOn wires the services together like the server does. They stop with the
// test: first what waits, then what writes. Addresses can be proved where a change
// says how.
func servicesOn(t testing.TB, pool *pgxpool.Pool, changes ...func(*threepid.Options)) Options {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	addresses := threepid.Options{
		Pool: pool, ServerName: "localhost", BaseURL: "http://localhost:8008", Registration: true,
		Signer: testSigner,
	}
	for _, change := range changes {
		change(&addresses)
	}
	stages := uia.New(pool, nil)
	addresses.Stages = stages
	threepids := threepid.New(addresses)
	t.Cleanup(threepids.Stop)
	limits := addresses.Limits
	book := journal.New(pool, journal.Options{Limits: limits, Log: log})
	users := auth.New(pool, auth.Options{
		ServerName:          "localhost",
		Argon:               auth.ArgonParams{MemoryKiB: 8, Passes: 1, Threads: 1},
		RegistrationEnabled: true,
		GuestsEnabled:       true,
		Stages:              stages,
		Threepids:           threepids,
		SharedSecret:        sharedSecret,
		Journal:             book,
		Logger:              log,
	})
	profiles := profile.New(pool, book)
	roomService := rooms.New(rooms.Options{
		Pool: pool, Journal: book, Profiles: profiles, Log: log,
		Signer: testSigner, Limits: limits, Guests: users.Guests,
	})
	data := accountdata.New(pool, book, roomService.Timeline, 0)
	read := receipts.New(pool, book, roomService.Timeline, data, 0)
	pushes := push.New(push.Options{Pool: pool, Journal: book, Rooms: roomService.Timeline, ReadUpTo: read.Marks, Ignored: data.Ignored})
	ticks := journal.NewTicks()
	typists := typing.New(roomService.Timeline, book, ticks, nil, 0)
	online := presence.New(presence.Options{Pool: pool, Journal: book, Rooms: roomService.Timeline, Profiles: profiles, Ticks: ticks})
	stream := syncstream.New(syncstream.Options{
		Pool: pool, Journal: book, Rooms: roomService.Timeline, Data: data, Receipts: read, Push: pushes, Typing: typists,
		Presence: online, Ticks: ticks,
	})
	files, err := media.New(media.Options{Pool: pool, Dir: t.TempDir(), ServerName: "localhost", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	found := search.New(search.Options{Pool: pool, Journal: book, Rooms: roomService.Timeline, Ignored: data.Ignored})
	people := userdirectory.New(pool, book, roomService.Timeline, profiles)
	profiles.OnChange(roomService.UpdateProfile)
	profiles.CountBy(roomService.CountProfile)
	users.OnDeactivate(roomService.LeaveAll)
	for _, erase := range []func(context.Context, string) error{
		roomService.Timeline.Erase, profiles.Erase, data.Erase, read.Erase, pushes.Erase, stream.Erase, online.Erase,
	} {
		users.OnErase(erase)
	}
	if err := book.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	found.Start(t.Context())
	people.Start(t.Context())
	t.Cleanup(func() {
		found.Stop()
		people.Stop()
		stream.Release()
		files.Stop()
		if err := book.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return Options{
		Services: client.Services{
			Auth: users, Stages: stages, Threepids: threepids, Profile: profiles, Journal: book, Rooms: roomService, Stream: stream, Media: files, Push: pushes,
			Data: data, Receipts: read, Typing: typists, Presence: online,
			Searches: found, Directory: people, Turn: turn.New(turn.Options{}),
			Reports:     reports.New(reports.Options{Pool: pool, Rooms: roomService.Timeline, Log: log}),
			Invitations: thirdpartyinvite.New(book, roomService, identity.New(identity.Options{Outgoing: safehttp.New(safehttp.Options{})}), limits),
			ServerName:  "localhost", PublicBaseURL: "http://localhost:8008/",
		},
		HTTP: httpapi.Options{Limits: limits, Logger: log},
	}
}

// newServer runs the whole API and gives a client for it.
func newServer(t testing.TB) *matrixtest.Client {
	t.Helper()
	return matrixtest.New(t, newAPI(t, services(t)).Handler())
}

func newAPI(t testing.TB, opts Options) *API {
	t.Helper()
	a, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
