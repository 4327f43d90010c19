package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/journal"
	"homeserver/internal/personal/invitepermission"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/directory"
	"homeserver/internal/rooms/policy"
	"homeserver/internal/server/config"
)

// ScreenInvites returns the check of rooms by which users are not invited who do not want to be.
func ScreenInvites(permissions *invitepermission.Service) rooms.Screen {
	return func(ctx context.Context, acts []rooms.Act) ([]error, error) {
		var pairs [][2]string
		var of []int
		for i, act := range acts {
			if act.Kind == rooms.ToInvite && act.Invitee != "" && !act.Asked {
				pairs, of = append(pairs, [2]string{act.UserID, act.Invitee}), append(of, i)
			}
		}
		if len(pairs) == 0 {
			return nil, nil
		}
		found, err := permissions.MayInvite(ctx, pairs)
		if len(found) == 0 {
			return nil, err
		}
		refusals := make([]error, len(acts))
		for n, i := range of {
			refusals[i] = found[n]
		}
		return refusals, err
	}
}

// PolicyEffects returns the rules of the configured lists, with what each would hit among the
// users and rooms of the server, for the operator's commands.
func PolicyEffects(ctx context.Context, cfg *config.Config, log *slog.Logger) (effects *policy.Effects, err error) {
	err = withDatabase(ctx, cfg, log, func(pool *pgxpool.Pool) error {
		accounts := newAuth(cfg, pool, nil, nil, nil, nil, nil, nil, nil, log)
		lists := policy.New(policy.Options{
			Pool: pool, Directory: directory.New(pool, cfg.ServerName), ServerName: cfg.ServerName, Lists: cfg.PolicyLists.Rooms, Log: log,
		})
		if effects, err = lists.Effects(ctx); err != nil {
			return err //nolint:wrapcheck // it says what was attempted
		}
		const page = 1000
		for after := ""; ; {
			users, err := accounts.Accounts(ctx, after, page)
			if err != nil {
				return err //nolint:wrapcheck // the same
			}
			for _, user := range users {
				after = user.UserID
				if !user.Deactivated && !user.Admin {
					effects.AddUser(user.UserID)
				}
			}
			if len(users) < page {
				return directory.EachName(ctx, pool, effects.AddRoom) //nolint:wrapcheck // the same
			}
		}
	})
	return effects, err
}

// newPolicies makes the service of policy lists, by which others let users do things.
func newPolicies(cfg *config.Config, pool *pgxpool.Pool, entries *journal.Journal, r *rooms.Service, accounts *auth.Service, now func() time.Time, log *slog.Logger) *policy.Service {
	s := policy.New(policy.Options{
		Pool: pool, Journal: entries, Directory: r.Directory, ServerName: cfg.ServerName,
		Lists: cfg.PolicyLists.Rooms, DryRun: cfg.PolicyLists.DryRun, Admins: accounts.Admins, Now: now, Log: log,
	})
	r.ScreenBy(s.Screen)
	accounts.RegisterBy(s.MayRegister)
	return s
}
