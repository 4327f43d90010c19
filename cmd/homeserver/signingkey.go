package main

import (
	"context"
	"flag"
	"fmt"

	"homeserver/internal/server"
)

func signingKeyAdoptCommand() command {
	return command{
		name:    "signing-key adopt",
		summary: "Go on with another signing key than the server had",
		details: lines(
			"For when the key is lost for good, or to be changed: a server refuses to start with another key than",
			"its database belongs to. The key is the one in data_dir/signing.key; if there is none, one is made.",
			"The server must not run.",
			"",
			"The public part of the key before is kept, so that what it has signed can still be verified. If that",
			"key is merely misplaced, bring it back instead, for example from a backup.",
		),
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			s.declare(flags)
			yes := flags.Bool("yes", false, "do not ask")
			return func(ctx context.Context, _ []string) error {
				cfg, err := s.load(a)
				if err != nil {
					return err
				}
				if !*yes {
					if err := a.confirm("Go on with another signing key?"); err != nil {
						return err
					}
				}
				adopted, err := server.AdoptSigningKey(ctx, cfg, quietLog(a.stderr, cfg.Log))
				if err != nil {
					return err
				}
				a.print(a.stdout, adoption(adopted))
				return nil
			}
		},
	}
}

// adoption returns the text about what was done.
func adoption(did *server.Adopted) string {
	if did.Before == did.KeyID {
		return fmt.Sprintf("The server has the signing key %s already.\n", did.KeyID)
	}
	text := "The server goes on with "
	if did.Made {
		text += "a new signing key, "
	} else {
		text += "the signing key "
	}
	text += did.KeyID
	if did.Before != "" {
		text += " in place of " + did.Before
	}
	return text + ".\n"
}
