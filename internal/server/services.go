package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/api"
	"homeserver/internal/auth"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
	"homeserver/internal/journal/replica"
	"homeserver/internal/media"
	"homeserver/internal/media/blob"
	"homeserver/internal/personal/reports"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/safehttp"
	"homeserver/internal/server/config"
)

// healthTimeout bounds the question of /health to the database.
const healthTimeout = 2 * time.Second

// services are the capabilities of the server, wired to each other.
type services struct {
	others   *replica.Channel
	journal  *journal.Journal
	auth     *auth.Service
	contacts *threepid.Service
	profiles *profile.Service
	stream   *stream
	found    *discovery
	media    *media.Service
	api      *api.API
	registry *prometheus.Registry
	log      *slog.Logger
	disks    *disks
}

// newServices makes the services on a migrated database. It starts none of them. ready is what /ready tells.
func newServices(cfg *config.Config, db *database, signer *event.Signer, ready func() bool, clients *connections, log *slog.Logger) (*services, error) {
	pool, budget, space := db.pool, cfg.Budget(), newDisks(cfg, db.cluster, log)
	others := replica.New(pool, log)
	limits := newLimits(cfg.RateLimits, &budget.Caches)
	entries := journal.New(pool, journal.Options{
		Channel:     others,
		WindowBytes: int(budget.LiveWindow), QueueBytes: int(budget.WriteQueue), Limits: limits, Log: log,
	})
	threepids, err := newThreepids(cfg, pool, signer, limits, log)
	if err != nil {
		return nil, err
	}
	accounts := newAuth(cfg, pool, threepids, limits, others, log)
	profiles := profile.New(pool)
	roomService := rooms.New(rooms.Options{
		Pool: pool, Journal: entries, Profiles: profiles, Signer: signer, Limits: limits, Guests: accounts.Guests, Log: log,
		Shares: rooms.Shares{State: int(budget.Caches.RoomState), Transactions: int(budget.Caches.Transactions)},
	})
	profiles.ReportDamage(roomService.Timeline.Damage())
	profiles.OnChange(roomService.UpdateProfile)
	profiles.CountBy(roomService.CountProfile)
	accounts.OnDeactivate(roomService.LeaveAll)
	streams := newStream(pool, entries, others, roomService.Timeline, profiles, threepids, &budget.Caches, log)
	for _, erase := range []func(context.Context, string) error{
		roomService.Timeline.Erase, profiles.Erase, streams.data.Erase, streams.receipts.Erase, streams.push.Erase, streams.sync.Erase, streams.presence.Erase,
	} {
		accounts.OnErase(erase)
	}
	files, err := newMedia(cfg, budget, pool, limits, space.roomForFiles, log)
	if err != nil {
		return nil, err
	}
	found := newDiscovery(cfg, pool, entries, roomService, profiles, limits, streams.data.Ignored)
	counts := &inventory{accounts: accounts, rooms: roomService.Timeline, media: files, log: log}
	registry, err := newRegistry(pool, append(newFreeDisk(cfg), newBuildInfo(), counts), []measured{entries, accounts, streams.sync, files, limits, clients},
		[]caching{accounts, roomService, streams.data, streams.receipts, streams.typing, streams.presence, streams.push, streams.sync, limits})
	if err != nil {
		return nil, err
	}
	handler, err := api.New(api.Options{
		Auth: accounts, Threepids: threepids, Profile: profiles, Journal: entries, Rooms: roomService, Media: files,
		Stream: streams.sync, Data: streams.data, Receipts: streams.receipts, Typing: streams.typing, Presence: streams.presence, Push: streams.push,
		Searches: found.search, Directory: found.users, Invitations: found.invitations, Turn: newTurn(cfg),
		Reports:    reports.New(reports.Options{Pool: pool, Rooms: roomService.Timeline, Log: log}),
		ServerName: cfg.ServerName, PublicBaseURL: cfg.PublicBaseURL, MediaClosed: !cfg.Media.Open,
		Healthy: healthy(pool), Ready: ready,
		HTTP: httpapi.Options{
			TrustedProxies: cfg.TrustedProxies, Room: space.database.Check,
			MaxBodyBytes: int64(cfg.Limits.RequestBody), Limits: limits, Bounds: newBounds(cfg.Limits, budget),
			Logger: log, NoRequestLines: !cfg.Log.Requests, Metrics: registry,
		},
	})
	if err != nil {
		return nil, err
	}
	return &services{others: others, journal: entries, auth: accounts, contacts: threepids, profiles: profiles, log: log, stream: streams, media: files, found: found, api: handler, registry: registry, disks: space}, nil
}

// newAuth makes the service of accounts, which commands use without the others.
func newAuth(
	cfg *config.Config, pool *pgxpool.Pool, threepids *threepid.Service, limits *ratelimit.Limits, others *replica.Channel, log *slog.Logger,
) *auth.Service {
	shares := cfg.Budget().Caches
	return auth.New(pool, auth.Options{
		ServerName:          cfg.ServerName,
		MinPasswordLength:   cfg.Password.MinLength,
		RegistrationEnabled: cfg.RegistrationOpen(),
		GuestsEnabled:       cfg.GuestsAllowed(),
		Threepids:           threepids,
		SharedSecret:        string(cfg.Registration.SharedSecret),
		Limits:              limits,
		Channel:             others,
		Shares:              auth.Shares{Tokens: int(shares.AccessTokens), Sightings: int(shares.Sightings), Familiar: int(shares.Familiar)},
		Logger:              log,
	})
}

// previewPictureBytes is the longest answer that is read of other servers: the largest picture that a
// preview has.
const previewPictureBytes = 10 << 20

// newMedia makes the service of files and previews.
func newMedia(cfg *config.Config, budget config.Budget, pool *pgxpool.Pool, limits *ratelimit.Limits, room func() error, log *slog.Logger) (*media.Service, error) {
	o := media.Options{
		Pool: pool, Dir: cfg.MediaDir(), ServerName: cfg.ServerName,
		MaxUploadBytes:  int64(cfg.Media.MaxUpload),
		UserQuotaBytes:  int64(cfg.Media.UserQuota),
		ThumbnailMemory: int64(budget.ThumbnailMemory),
		Room:            room,
		Limits:          limits,
		Log:             log,
	}
	if cfg.Media.Storage == "s3" {
		bucket, err := newBucket(cfg)
		if err != nil {
			return nil, err
		}
		o.Storage = bucket
	}
	if cfg.URLPreviews.Enabled {
		o.Previews = safehttp.New(safehttp.Options{
			AllowedRanges: cfg.Outgoing.AllowedRanges,
			MaxRedirects:  5,
			MaxBodyBytes:  previewPictureBytes,
			UserAgent:     "homeserver (Matrix URL preview bot; " + cfg.ServerName + ")",
		})
	}
	return media.New(o)
}

// newBucket makes the storage of files that an S3 service keeps. The operator has named it, and so it may be
// anywhere, unlike what internal/safehttp connects to.
func newBucket(cfg *config.Config) (*blob.Bucket, error) {
	s3 := cfg.Media.S3
	return blob.NewBucket(blob.BucketOptions{
		Endpoint: s3.Endpoint, Region: s3.Region, Bucket: s3.Bucket, Prefix: s3.Prefix, PathStyle: s3.PathStyle,
		AccessKey: s3.AccessKey, SecretKey: string(s3.SecretKey), LocalDir: cfg.MediaDir(),
	})
}

// healthy tells whether the database answers.
func healthy(pool *pgxpool.Pool) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, healthTimeout)
		defer cancel()
		return pool.Ping(ctx)
	}
}

// start starts the background work. It goes on until stop, and not only for as long as ctx.
func (s *services) start(ctx context.Context) error {
	s.disks.watch.Start()
	if _, err := net.InterfaceAddrs(); err != nil {
		s.log.WarnContext(ctx, "no previews are made and no identity servers asked: the addresses of this machine cannot be looked up", "error", err)
	}
	s.media.Start(ctx)
	if err := s.others.Start(ctx); err != nil {
		return err
	}
	if err := s.journal.Start(ctx); err != nil {
		s.others.Stop()
		return fmt.Errorf("start the journal: %w", err)
	}
	s.auth.Start(context.WithoutCancel(ctx))
	s.profiles.Start(ctx, s.log)
	s.stream.presence.Start(ctx)
	s.found.start(ctx)
	return nil
}

// stop ends the background work; the journal writes what is queued.
func (s *services) stop(ctx context.Context) error {
	defer s.others.Stop()
	s.profiles.Stop()
	s.disks.watch.Stop()
	s.stream.presence.Stop()
	s.found.stop()
	s.media.Stop()
	s.auth.Stop()
	s.contacts.Stop()
	if err := s.journal.Stop(ctx); err != nil {
		return errors.Join(errors.New("stop the journal before it has written everything"), err)
	}
	return nil
}
