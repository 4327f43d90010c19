package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"text/tabwriter"
	"time"

	"homeserver/internal/server"
	"homeserver/internal/server/config"
)

func registrationTokenCreateCommand() command {
	return command{
		name:    "registration-token create",
		summary: "Invite people: make a token by which they can register",
		details: lines(
			"With registration.enabled and registration.require_token, only people with a token can register. It is printed, and",
			"with the OAuth 2.0 API a link, too: to the page where one makes an account with it. Without flags it is good for one",
			"account, for a week.",
		),
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			s.declare(flags)
			text := flags.String("token", "", "the token is `TEXT` (else one that nobody guesses)")
			uses := flags.Uint("uses", 1, "it is good for `NUMBER` accounts; 0: any number")
			expiry := flags.Duration("expires", 7*24*time.Hour, "it is good for this `TIME`, such as 48h; 0: for ever")
			return func(ctx context.Context, _ []string) error {
				t := server.RegistrationToken{Token: *text}
				if *uses > math.MaxInt32 || *expiry < 0 {
					return usagef("--uses and --expires must be numbers from 0 on, and --uses %d at most", math.MaxInt32)
				}
				if *uses > 0 {
					n := int32(*uses)
					t.Uses = &n
				}
				if *expiry > 0 {
					at := time.Now().Add(*expiry).UnixMilli()
					t.ExpiresAt = &at
				}
				cfg, err := s.load(a)
				if err != nil {
					return err
				}
				return a.createRegistrationToken(ctx, cfg, t)
			}
		},
	}
}

func (a *app) createRegistrationToken(ctx context.Context, cfg *config.Config, t server.RegistrationToken) error {
	return server.WithRegistrationTokens(ctx, cfg, quietLog(a.stderr, cfg.Log), func(tokens *server.RegistrationTokens) error {
		made, err := tokens.Create(ctx, t)
		if err != nil {
			return err
		}
		a.print(a.stdout, made.Token+"\n")
		if link := server.InvitationLink(cfg, made.Token); link != "" {
			a.print(a.stdout, link+"\n")
		}
		return nil
	})
}

func registrationTokenListCommand() command {
	return command{
		name:    "registration-token list",
		summary: "List the tokens by which people can register",
		details: "Those that are used up or expired are listed, too, until they are deleted.",
		prepare: withConfig(func(ctx context.Context, a *app, cfg *config.Config) error {
			return server.WithRegistrationTokens(ctx, cfg, quietLog(a.stderr, cfg.Log), func(tokens *server.RegistrationTokens) error {
				return a.listRegistrationTokens(ctx, tokens)
			})
		}),
	}
}

// listRegistrationTokens writes a table of all tokens.
func (a *app) listRegistrationTokens(ctx context.Context, tokens *server.RegistrationTokens) error {
	all, err := tokens.List(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "TOKEN\tUSED\tEXPIRES\n")
	for _, t := range all {
		used, expires := fmt.Sprint(t.Used), "never"
		if t.Uses != nil {
			used += fmt.Sprintf(" of %d", *t.Uses)
		}
		if t.ExpiresAt != nil {
			expires = moment(*t.ExpiresAt)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", t.Token, used, expires)
	}
	return table.Flush()
}

func registrationTokenDeleteCommand() command {
	return command{
		name:    "registration-token delete",
		args:    "TOKEN",
		summary: "Delete a token, so that nobody can register with it any more",
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			s.declare(flags)
			return func(ctx context.Context, args []string) error {
				cfg, err := s.load(a)
				if err != nil {
					return err
				}
				return server.WithRegistrationTokens(ctx, cfg, quietLog(a.stderr, cfg.Log), func(tokens *server.RegistrationTokens) error {
					if err := tokens.Delete(ctx, args[0]); err != nil {
						return err
					}
					a.print(a.stdout, "Deleted the token "+args[0]+".\n")
					return nil
				})
			}
		},
	}
}
