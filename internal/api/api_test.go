package api

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/api/client"
	"homeserver/internal/appservice"
	"homeserver/internal/appservice/registration"
	"homeserver/internal/auth"
	"homeserver/internal/auth/identity"
	"homeserver/internal/auth/oauth"
	"homeserver/internal/auth/registrationtoken"
	"homeserver/internal/auth/rendezvous"
	"homeserver/internal/auth/sso"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/uia"
	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/e2ee/keybackup"
	"homeserver/internal/e2ee/todevice"
	"homeserver/internal/httpapi"
	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/media"
	"homeserver/internal/media/preview"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/emailpusher"
	"homeserver/internal/personal/invitepermission"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/reports"
	"homeserver/internal/personal/search"
	"homeserver/internal/personal/thirdpartyinvite"
	"homeserver/internal/personal/turn"
	"homeserver/internal/personal/typing"
	"homeserver/internal/personal/upgradedrooms"
	"homeserver/internal/personal/userdirectory"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/delayedevents"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/spaces"
	"homeserver/internal/safehttp"
	"homeserver/internal/server"
	"homeserver/internal/syncstream"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// sharedSecret is the one of the servers that newServer makes.
const sharedSecret = "correct horse"

// services returns real ones on a database of the test's own.
func services(t testing.TB) server.APIOptions { return servicesOn(t, postgrestest.New(t)) }

// servicesOn wires the services together like the server does. They stop with the
// test: first what waits, then what writes. Addresses can be proved where a change
// says how.
func servicesOn(t testing.TB, pool *pgxpool.Pool, changes ...func(*threepid.Options)) server.APIOptions {
	t.Helper()
	return servicesWithWindow(t, pool, 0, changes...)
}

// servicesWithWindow does the same with a live window of so many bytes; 0: the usual one.
func servicesWithWindow(t testing.TB, pool *pgxpool.Pool, window int, changes ...func(*threepid.Options)) server.APIOptions {
	t.Helper()
	return wired(t, pool, window, changes, nil, nil)
}

// servicesBeside does the same with application services.
func servicesBeside(t testing.TB, pool *pgxpool.Pool, bridges registration.List, window int, changes ...func(*appservice.Options)) server.APIOptions {
	t.Helper()
	return wired(t, pool, window, nil, bridges, changes)
}

// wired wires them.
func wired(
	t testing.TB, pool *pgxpool.Pool, window int, changes []func(*threepid.Options), bridges registration.List, bridgeChanges []func(*appservice.Options),
) server.APIOptions {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	addresses := threepid.Options{
		Pool: pool, ServerName: "localhost", BaseURL: "http://localhost:8008", Registration: true,
		Signer: roomstest.Signer,
	}
	for _, change := range changes {
		change(&addresses)
	}
	stages := uia.New(pool, nil)
	addresses.Stages = stages
	threepids := threepid.New(addresses)
	t.Cleanup(threepids.Stop)
	limits := addresses.Limits
	var services *appservice.Service
	env := roomstest.Open(t, roomstest.Options{
		Pool: pool, Journal: journal.Options{WindowBytes: window, Limits: limits, Log: log},
		Users: func(o *auth.Options) {
			o.RegistrationEnabled, o.SharedSecret = true, sharedSecret
			o.Stages, o.Threepids, o.Logger, o.MayMake = stages, threepids, log, bridges.CheckUser
		},
		Rooms: func(o *rooms.Options) {
			o.Limits, o.Log, o.MayName = limits, log, bridges.CheckAlias
			o.BeforeInvites = func(ctx context.Context, userIDs []string) { services.AskInvited(ctx, userIDs) }
		},
	})
	users, profiles, book, store := env.Users, env.Profiles, env.Journal, env.Rooms.Timeline
	data := accountdata.New(pool, book, store, 0)
	permissions := invitepermission.New(data, book, 0)
	env.Rooms.ScreenBy(server.ScreenInvites(permissions))
	read := receipts.New(pool, book, store, data.SetFullyRead, 0, time.Now)
	pushes := push.New(push.Options{Pool: pool, Journal: book, Rooms: store, ReadUpTo: read.Marks, Ignored: data.Ignored, HiddenInvites: permissions.Hidden})
	upgraded := upgradedrooms.New(upgradedrooms.Options{
		Journal: book, Rooms: store, Data: data, Push: pushes, CarryState: env.Rooms.CarryState, ServerName: "localhost", Log: log,
	})
	delayed := delayedevents.New(delayedevents.Options{Pool: pool, Journal: book, Rooms: env.Rooms, Log: log})
	ticks := journal.NewTicks()
	typists := typing.New(store, book, ticks, nil, 0, nil)
	online := presence.New(presence.Options{Pool: pool, Journal: book, Rooms: store, Profiles: profiles, Ticks: ticks})
	keys := devicekeys.New(devicekeys.Options{Pool: pool, Journal: book, Rooms: store, Sessions: users.Sessions, Stages: stages, ServerName: "localhost"})
	messages := todevice.New(todevice.Options{Pool: pool, Journal: book, ServerName: "localhost"})
	stream := syncstream.New(syncstream.Options{
		Pool: pool, Journal: book, Rooms: store, Data: data, HiddenInvites: permissions.Hidden, Receipts: read, Push: pushes, Typing: typists,
		Presence: online, Keys: keys, ToDevice: messages, Ticks: ticks,
	})
	files, err := media.New(media.Options{Pool: pool, Dir: t.TempDir(), ServerName: "localhost", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	found := search.New(search.Options{Pool: pool, Journal: book, Rooms: store, Ignored: data.Ignored, Log: log})
	people := userdirectory.New(pool, book, store, profiles)
	profiles.OnChange(env.Rooms.UpdateProfile)
	profiles.CountBy(env.Rooms.CountProfile)
	backups := keybackup.New(pool, store.Damage())
	users.OnDeactivate(env.Rooms.LeaveAll)
	users.OnDeactivate(backups.RemoveAll)
	users.OnDeactivate(keys.RemoveAll)
	users.Sessions.OnRemove(accountdata.DeleteOfDevices)
	users.Sessions.OnRemove(todevice.DeleteOfDevices)
	users.Sessions.OnRemove(syncstream.DeleteOfDevices)
	users.Sessions.OnRemove(messages.Leaving)
	devicekeys.FollowDevices(users.Sessions)
	for _, erase := range []func(context.Context, string) error{
		store.Erase, profiles.Erase, data.Erase, read.Erase, pushes.Erase, stream.Erase, online.Erase, messages.Erase,
	} {
		users.OnErase(erase)
	}
	signIns := oauth.New(oauth.Options{Pool: pool, Accounts: users, Stages: stages, BaseURL: "http://localhost:8008", ServerName: "localhost", Log: log})
	signOn, err := sso.New(sso.Options{Pool: pool, Accounts: users, Stages: stages, Secret: make([]byte, 32), Log: log, Now: time.Now})
	env.OK(err)
	env.Run()
	bridging := appservice.Options{
		Registrations: bridges, ActAs: users.Sessions.ActAs, MakeUser: users.EnsureAccount, Existing: users.Existing, Limits: limits, Log: log,
	}
	for _, change := range bridgeChanges {
		change(&bridging)
	}
	services = appservice.New(bridging)
	profiles.OnMissing(services.AskUser)
	env.Rooms.Directory.OnMissing(services.AskAlias)
	env.OK(services.Start(t.Context()))
	found.Start(t.Context())
	people.Start(t.Context())
	messages.Start(t.Context())
	upgraded.Start(t.Context())
	delayed.Start(t.Context())
	t.Cleanup(func() {
		upgraded.Stop()
		delayed.Stop()
		found.Stop()
		people.Stop()
		messages.Stop()
		stream.Release()
		files.Stop()
	})
	return server.APIOptions{
		Services: client.Services{
			Now:  time.Now,
			Auth: users, OAuth: signIns, Rendezvous: rendezvous.New(nil), SSO: signOn, Stages: stages, Threepids: threepids, Profile: profiles, Journal: book, Rooms: env.Rooms, Delayed: delayed, Spaces: spaces.New(store, env.Rooms.Directory), Stream: stream, Media: files, Previews: preview.New(preview.Options{Pool: pool, Files: files}), Push: pushes,
			Data: data, Receipts: read, Typing: typists, Presence: online, Keys: keys, ToDevice: messages,
			KeyBackups: backups, AppServices: services, RegistrationTokens: registrationtoken.New(pool, stages, nil),
			Searches: found, Directory: people, Turn: turn.New(turn.Options{}),
			Reports:     reports.New(reports.Options{Pool: pool, Rooms: store, Log: log}),
			Invitations: thirdpartyinvite.New(book, env.Rooms, identity.New(identity.Options{Outgoing: safehttp.New(safehttp.Options{})}), limits),
			ServerName:  "localhost", PublicBaseURL: "http://localhost:8008/",
		},
		Mails: emailpusher.New(emailpusher.Options{Signer: roomstest.Signer}),
		HTTP:  httpapi.Options{Limits: limits, Logger: log},
	}
}

// newServer runs the whole API and returns a client for it.
func newServer(t testing.TB) *matrixtest.Client {
	t.Helper()
	return matrixtest.New(t, newAPI(t, services(t)).Handler())
}

func newAPI(t testing.TB, opts server.APIOptions) *server.API {
	t.Helper()
	a, err := server.NewAPI(opts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// routes returns the route table of the server.
func routes() []httpapi.Route { return server.Routes(server.APIOptions{}) }
