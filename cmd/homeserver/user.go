package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"homeserver/internal/auth"
	"homeserver/internal/auth/account"
	"homeserver/internal/server"
	"homeserver/internal/server/config"
)

// accountsPage is how many accounts are listed at a time.
const accountsPage = 1000

const passwordDetails = "The password is asked for without showing it, or read from standard input if that is no terminal."

// revocationDetails is true because a server has the tokens in use in memory.
const revocationDetails = "A running server may accept a logged-out device for half a minute more."

func userCreateCommand() command {
	return command{
		name:    "user create",
		args:    "NAME",
		summary: "Make an account, whether or not registration is open",
		details: passwordDetails,
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			s.declare(flags)
			admin := flags.Bool("admin", false, "make the account an administrator")
			passwordFile := declarePasswordFile(flags)
			return func(ctx context.Context, args []string) error {
				return a.withPassword(ctx, &s, *passwordFile, func(accounts *auth.Service, password string) error {
					userID, err := accounts.CreateAccount(ctx, auth.NewAccount{Username: args[0], Password: password, Admin: *admin})
					if err != nil {
						return err
					}
					a.print(a.stdout, "Made the account "+userID+".\n")
					return nil
				})
			}
		},
	}
}

func userPasswordCommand() command {
	return command{
		name:    "user password",
		args:    "NAME",
		summary: "Give an account a new password",
		details: passwordDetails + "\n" + revocationDetails,
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			s.declare(flags)
			logout := flags.Bool("logout", false, "log out all devices of the account")
			passwordFile := declarePasswordFile(flags)
			return func(ctx context.Context, args []string) error {
				return a.withPassword(ctx, &s, *passwordFile, func(accounts *auth.Service, password string) error {
					if err := accounts.SetPassword(ctx, args[0], password, *logout); err != nil {
						return err
					}
					a.print(a.stdout, "Changed the password of "+args[0]+".\n")
					return nil
				})
			}
		},
	}
}

func userListCommand() command {
	return command{
		name:    "user list",
		summary: "List all accounts",
		prepare: withConfig(func(ctx context.Context, a *app, cfg *config.Config) error {
			return server.WithAccounts(ctx, cfg, quietLog(a.stderr, cfg.Log), func(accounts *auth.Service) error {
				return a.listUsers(ctx, accounts)
			})
		}),
	}
}

func userDeactivateCommand() command {
	return command{
		name:    "user deactivate",
		args:    "NAME",
		summary: "End an account for good",
		details: lines(
			"Its devices are logged out, it leaves all rooms, and its name cannot be used again. There is no way back.",
			"If no server is running, it leaves its rooms when one does.",
			revocationDetails,
		),
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			s.declare(flags)
			erase := flags.Bool("erase", false, "hide what the account has sent from those who join later")
			yes := flags.Bool("yes", false, "do not ask")
			return func(ctx context.Context, args []string) error {
				cfg, err := s.load(a)
				if err != nil {
					return err
				}
				if !*yes {
					if err := a.confirm("Deactivate " + args[0] + " for good?"); err != nil {
						return err
					}
				}
				return server.WithAccounts(ctx, cfg, quietLog(a.stderr, cfg.Log), func(accounts *auth.Service) error {
					if err := accounts.DeactivateAccount(ctx, args[0], *erase); err != nil {
						return err
					}
					a.print(a.stdout, "Deactivated "+args[0]+".\n")
					return nil
				})
			}
		},
	}
}

// userModerateCommand makes a command that changes what an account may do.
func userModerateCommand(name, summary, details, done string, c auth.Change) command {
	return command{
		name:    "user " + name,
		args:    "NAME",
		summary: summary,
		details: details,
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			s.declare(flags)
			return func(ctx context.Context, args []string) error {
				cfg, err := s.load(a)
				if err != nil {
					return err
				}
				return server.WithAccounts(ctx, cfg, quietLog(a.stderr, cfg.Log), func(accounts *auth.Service) error {
					userID, err := accounts.ModerateAccount(ctx, args[0], c)
					if err != nil {
						return err
					}
					a.print(a.stdout, done+" "+userID+".\n")
					return nil
				})
			}
		},
	}
}

// userModerateCommands are the commands that an operator can take back.
func userModerateCommands() []command {
	yes, no := true, false
	return []command{
		userModerateCommand("lock", "Lock an account, until it is unlocked", lines(
			"Nobody can use the account or log in to it. Its devices stay logged in, and can go on when it is unlocked.",
			"A running server acts by it at once.",
		), "Locked", auth.Change{Locked: &yes}),
		userModerateCommand("unlock", "Unlock an account", "Its devices go on where they were.", "Unlocked", auth.Change{Locked: &no}),
		userModerateCommand("suspend", "Let an account read but not write", lines(
			"The user can read, leave rooms, redact own messages and log out, but not send, join, invite or change the profile.",
			"A running server acts by it at once.",
		), "Suspended", auth.Change{Suspended: &yes}),
		userModerateCommand("unsuspend", "End the suspension of an account", "", "No longer suspended:", auth.Change{Suspended: &no}),
	}
}

func declarePasswordFile(flags *flag.FlagSet) *string {
	return flags.String("password-file", "", "read the password from `FILE`; - is standard input")
}

// withPassword reads a password, from a file or the terminal, and then calls do.
func (a *app) withPassword(ctx context.Context, s *settings, file string, do func(*auth.Service, string) error) error {
	cfg, err := s.loadServed(a)
	if err != nil {
		return err
	}
	password, err := a.readPassword(file)
	if err != nil {
		return err
	}
	return server.WithAccounts(ctx, cfg, quietLog(a.stderr, cfg.Log), func(accounts *auth.Service) error {
		return do(accounts, password)
	})
}

// listUsers writes a table of all accounts.
func (a *app) listUsers(ctx context.Context, accounts *auth.Service) error {
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "USER\tMADE\tKIND\n")
	last := ""
	for {
		page, err := accounts.Accounts(ctx, last, accountsPage)
		if err != nil {
			return err
		}
		for _, account := range page {
			made := time.UnixMilli(account.CreatedAt).UTC().Format(time.DateOnly)
			fmt.Fprintf(table, "%s\t%s\t%s\n", account.UserID, made, kind(account))
			last = account.UserID
		}
		if len(page) < accountsPage {
			return table.Flush()
		}
	}
}

func kind(a account.Account) string {
	var words []string
	if a.Deactivated {
		words = append(words, "deactivated")
	}
	if a.Locked {
		words = append(words, "locked")
	}
	if a.Suspended {
		words = append(words, "suspended")
	}
	if a.Guest {
		words = append(words, "guest")
	}
	if a.Admin {
		words = append(words, "administrator")
	}
	if len(words) == 0 {
		return "user"
	}
	return strings.Join(words, ", ")
}
