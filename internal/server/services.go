package server

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/appservice"
	"homeserver/internal/appservice/registration"
	"homeserver/internal/appservice/transactions"
	"homeserver/internal/auth"
	"homeserver/internal/auth/oauth"
	"homeserver/internal/auth/registrationtoken"
	"homeserver/internal/auth/sso"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/uia"
	"homeserver/internal/clock"
	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/e2ee/keybackup"
	"homeserver/internal/e2ee/todevice"
	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/media"
	"homeserver/internal/media/blob"
	"homeserver/internal/media/preview"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/emailpusher"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/delayedevents"
	"homeserver/internal/rooms/policy"
	"homeserver/internal/safehttp"
	"homeserver/internal/server/config"
	"homeserver/internal/server/serveridentity"
	"homeserver/internal/syncstream"
)

// services are the capabilities of the server, wired to each other.
type services struct {
	others    *replica.Channel
	journal   *journal.Journal
	limits    *ratelimit.Limits
	disks     *disks
	stages    *uia.Service
	threepids *threepid.Service
	auth      *auth.Service
	oauth     *oauth.Service
	sso       *sso.Service
	bridges   *appservice.Service
	tokens    *registrationtoken.Service
	profiles  *profile.Service
	rooms     *rooms.Service
	delayed   *delayedevents.Service
	policies  *policy.Service
	keys      *devicekeys.Service
	toDevice  *todevice.Service
	stream    *stream
	mails     *emailpusher.Service
	found     *discovery
	// sending sends events to application services.
	sending  *transactions.Service
	backups  *keybackup.Service
	media    *media.Service
	previews *preview.Service
	// parts are those of them of which the server asks anything: see [parts].
	parts parts
}

// newServices makes the services on a migrated database. It starts none of them.
func newServices(cfg *config.Config, hooks hooks, bridges registration.List, db *database, signer *event.Signer, log *slog.Logger) (*services, error) {
	pool, budget, now := db.pool, cfg.Budget(), hooks.clock.Now
	s := &services{others: replica.New(pool, log), stages: uia.New(pool, now), limits: newLimits(cfg.RateLimits, &budget.Caches, hooks), disks: newDisks(cfg, db.cluster, log)}
	s.journal = journal.New(pool, journal.Options{
		Channel:     s.others,
		WindowBytes: int(budget.LiveWindow), QueueBytes: int(budget.WriteQueue), Limits: s.limits, Log: log,
	})
	var err error
	if s.threepids, err = newThreepids(cfg, pool, s.stages, signer, s.limits, now, log); err != nil {
		return nil, err
	}
	s.auth = newAuth(cfg, pool, bridges, s.stages, s.threepids, s.limits, s.others, s.journal, hooks.clock, log)
	followDevices(s.auth)
	s.tokens = registrationtoken.New(pool, s.stages, now)
	registerTerms(cfg, s.stages, now)
	s.oauth = oauth.New(oauth.Options{
		Pool: pool, Accounts: s.auth, Stages: s.stages, BaseURL: hooks.oauthURL, ServerName: cfg.ServerName, AccessTokenLifetime: cfg.OAuth.Lifetime(), Now: now, Clock: hooks.clock, Log: log,
	})
	s.bridges = appservice.New(appservice.Options{
		Registrations: bridges, ActAs: s.auth.Sessions.ActAs, MakeUser: s.auth.EnsureAccount, Existing: s.auth.Existing, Limits: s.limits, Now: now, Log: log,
	})
	s.profiles = profile.New(pool, s.journal)
	s.profiles.OnMissing(s.bridges.AskUser)
	if s.sso, err = newSSO(cfg, pool, s, signer, now, log); err != nil {
		return nil, err
	}
	s.rooms = rooms.New(rooms.Options{
		Pool: pool, Journal: s.journal, Profiles: s.profiles, Signer: signer, Limits: s.limits, Guests: s.auth.Guests, Log: log, Now: now,
		MayName: bridges.CheckAlias, BeforeInvites: s.bridges.AskInvited,
		Keys: func(ctx context.Context, conn *pgx.Conn) (map[string]ed25519.PublicKey, error) {
			return serveridentity.PublicKeys(ctx, conn, serveridentity.Of(signer))
		},
		Shares: rooms.Shares{
			State: int(budget.Caches.RoomState), Transactions: int(budget.Caches.Transactions), Access: int(budget.Caches.Access),
			Recent: int(budget.Caches.RecentRooms),
		},
	})
	s.policies = newPolicies(cfg, pool, s.journal, s.rooms, s.auth, now, log)
	s.rooms.Directory.OnMissing(s.bridges.AskAlias)
	s.delayed = delayedevents.New(delayedevents.Options{Pool: pool, Journal: s.journal, Rooms: s.rooms, Channel: s.others, Clock: hooks.clock, Log: log})
	s.profiles.ReportTo(s.rooms.Timeline.Damage())
	s.profiles.OnChange(s.rooms.UpdateProfile)
	s.profiles.CountBy(s.rooms.CountProfile)
	s.backups = keybackup.New(pool, s.rooms.Timeline.Damage())
	s.auth.OnDeactivate(s.rooms.LeaveAll)
	s.auth.OnDeactivate(s.backups.RemoveAll)
	s.keys = devicekeys.New(devicekeys.Options{
		Pool: pool, Journal: s.journal, Rooms: s.rooms.Timeline, Sessions: s.auth.Sessions, Stages: s.stages, Channel: s.others, ServerName: cfg.ServerName,
		CountBytes: int(budget.Caches.KeyCounts), KeyBytes: int(budget.Caches.PublicKeys),
	})
	s.toDevice = todevice.New(todevice.Options{
		Pool: pool, Journal: s.journal, Channel: s.others, ServerName: cfg.ServerName, CacheBytes: int(budget.Caches.ToDevice), Clock: hooks.clock, Log: log,
	})
	s.auth.OnDeactivate(s.keys.RemoveAll)
	s.auth.Sessions.OnRemove(s.toDevice.Leaving)
	s.stream = newStream(pool, s.journal, s.others, s.rooms, s.profiles, s.threepids, s.keys, s.toDevice, cfg, hooks.clock, log)
	s.rooms.ScreenBy(ScreenInvites(s.stream.invites))
	s.mails = emailpusher.New(emailpusher.Options{
		Journal: s.journal, Rooms: s.rooms.Timeline, Push: s.stream.push, Mail: s.threepids.Mailer(), Signer: signer,
		ServerName: cfg.ServerName, BaseURL: cfg.PublicBaseURL, RoomURL: cfg.Email.RoomURL, Log: log, Clock: hooks.clock,
	})
	s.sending = newTransactions(cfg, pool, s, hooks.clock, log)
	s.found = newDiscovery(cfg, pool, s.journal, s.rooms, s.profiles, s.limits, s.stream.data.Ignored, log)
	if s.media, err = newMedia(cfg, budget, pool, s.limits, s.disks.roomForFiles, now, log); err != nil {
		return nil, err
	}
	s.previews = newPreviews(cfg, pool, s.media, s.disks.roomForFiles, now, log)
	s.parts = parts{
		s.others, s.journal, s.limits, s.disks, s.threepids, s.auth, s.oauth, s.sso, s.bridges, s.rooms, s.rooms.Timeline, s.policies, s.profiles,
		s.keys, s.toDevice, s.stream.data, s.stream.invites, s.stream.receipts, s.stream.typing, s.stream.push, s.stream.pushers, s.stream.upgraded, s.delayed, s.mails, s.stream.presence, s.stream.sync,
		s.sending, s.found.search, s.found.users, s.media, s.backups, newSpareMemory(),
	}
	s.parts.eraseWith(s.auth)
	return s, nil
}

// newAuth makes the service of accounts, which commands use without the others.
func newAuth(
	cfg *config.Config, pool *pgxpool.Pool, bridges registration.List, stages *uia.Service, threepids *threepid.Service, limits *ratelimit.Limits, others *replica.Channel,
	entries *journal.Journal, time *clock.Clock, log *slog.Logger,
) *auth.Service {
	shares := cfg.Budget().Caches
	return auth.New(pool, auth.Options{
		ServerName:          cfg.ServerName,
		Argon:               passwordCost(cfg),
		MinPasswordLength:   cfg.Password.MinLength,
		NoPasswordLogin:     !cfg.Login.Password,
		RegistrationEnabled: cfg.RegistrationOpen(),
		Policy:              registrationPolicy(cfg),
		AccessTokenLifetime: cfg.Login.Lifetime(),
		GuestsEnabled:       cfg.GuestsAllowed(),
		Stages:              stages,
		Threepids:           threepids,
		SharedSecret:        string(cfg.Registration.SharedSecret),
		MayMake:             bridges.CheckUser,
		Limits:              limits,
		Channel:             others,
		Journal:             entries,
		Shares:              auth.Shares{Tokens: int(shares.AccessTokens), Sightings: int(shares.Sightings), Familiar: int(shares.Familiar)},
		Logger:              log,
		Now:                 time.Now,
		Clock:               time,
	})
}

// passwordCost returns the cost of a password's hash; the zero value is the usual one.
func passwordCost(cfg *config.Config) auth.ArgonParams {
	if cfg.CheapPasswords {
		return auth.ArgonParams{MemoryKiB: 64, Passes: 1, Threads: 1}
	}
	return auth.ArgonParams{}
}

// followDevices has all that belongs to devices removed with them. It is for commands, too.
func followDevices(accounts *auth.Service) {
	accounts.Sessions.OnRemove(accountdata.DeleteOfDevices)
	accounts.Sessions.OnRemove(todevice.DeleteOfDevices)
	accounts.Sessions.OnRemove(syncstream.DeleteOfDevices)
	devicekeys.FollowDevices(accounts.Sessions)
}

// newMedia makes the service of files.
func newMedia(cfg *config.Config, budget config.Budget, pool *pgxpool.Pool, limits *ratelimit.Limits, room func() error, now func() time.Time, log *slog.Logger) (*media.Service, error) {
	o := media.Options{
		Pool: pool, Dir: cfg.MediaDir(), ServerName: cfg.ServerName,
		MaxUploadBytes:  int64(cfg.Media.MaxUpload),
		UserQuotaBytes:  int64(cfg.Media.UserQuota),
		ThumbnailMemory: int64(budget.ThumbnailMemory),
		Room:            room,
		Limits:          limits,
		Now:             now,
		Log:             log,
	}
	if cfg.Media.Storage == "s3" {
		bucket, err := newBucket(cfg)
		if err != nil {
			return nil, err
		}
		o.Storage = bucket
	}
	return media.New(o)
}

// previewPictureBytes is the longest answer that is read of other servers: the largest picture that a
// preview has.
const previewPictureBytes = 10 << 20

// newPreviews makes the service of previews of web pages.
func newPreviews(cfg *config.Config, pool *pgxpool.Pool, files *media.Service, room func() error, now func() time.Time, log *slog.Logger) *preview.Service {
	o := preview.Options{Pool: pool, Files: files, Room: room, Now: now, Log: log}
	if cfg.URLPreviews.Enabled {
		o.Client = safehttp.New(safehttp.Options{
			AllowedRanges: cfg.Outgoing.AllowedRanges,
			MaxRedirects:  5,
			MaxBodyBytes:  previewPictureBytes,
			UserAgent:     "homeserver (Matrix URL preview bot; " + cfg.ServerName + ")",
		})
	}
	return preview.New(o)
}

// newBucket makes the storage of files in an S3 service. The operator has named it, and
// so it may be at any address, unlike those of internal/safehttp.
func newBucket(cfg *config.Config) (*blob.Bucket, error) {
	s3 := cfg.Media.S3
	return blob.NewBucket(blob.BucketOptions{
		Endpoint: s3.Endpoint, Region: s3.Region, Bucket: s3.Bucket, Prefix: s3.Prefix, PathStyle: s3.PathStyle,
		AccessKey: s3.AccessKey, SecretKey: string(s3.SecretKey), LocalDir: cfg.MediaDir(),
	})
}
