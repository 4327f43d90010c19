package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"

	"homeserver/internal/server"
	"homeserver/internal/server/config"
)

func policiesCommand() command {
	return command{
		name:    "policies",
		summary: "List the rules of the policy lists, and what they are against here",
		details: lines(
			"The rules are those of the rooms in policy_lists.rooms. HITS is how many users, rooms and aliases of this server",
			"a rule is against; administrators are not counted, as no rule is applied to them. A rule with the hash of an",
			"identifier is shown as sha256: and the hash.",
		),
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			s.declare(flags)
			return func(ctx context.Context, _ []string) error {
				cfg, err := s.load(a)
				if err != nil {
					return err
				}
				return a.listPolicies(ctx, cfg)
			}
		},
	}
}

// listPolicies writes a table of rules.
func (a *app) listPolicies(ctx context.Context, cfg *config.Config) error {
	if len(cfg.PolicyLists.Rooms) == 0 {
		a.print(a.stdout, "There are no policy lists: policy_lists.rooms is empty.\n")
		return nil
	}
	effects, err := server.PolicyEffects(ctx, cfg, quietLog(a.stderr, cfg.Log))
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "LIST\tKIND\tENTITY\tHITS\n")
	applied, rest := 0, effects.LeftOut
	for _, e := range effects.List() {
		entity, hits := e.Entity, fmt.Sprint(e.Hits)
		if e.Hashed {
			entity = "sha256:" + entity
		}
		switch {
		case e.NotApplied != "":
			hits = "not applied: " + e.NotApplied
			rest++
		case e.Hits > len(e.Some):
			hits += ": " + strings.Join(e.Some, ", ") + ", …"
		case e.Hits > 0:
			hits += ": " + strings.Join(e.Some, ", ")
		}
		if e.NotApplied == "" {
			applied++
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", printable(e.List), e.Kind, printable(entity), printable(hits))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the rules: %w", err)
	}
	text := fmt.Sprintf("%d rules are applied, %d are not\n", applied, rest)
	if cfg.PolicyLists.DryRun {
		text = fmt.Sprintf("%d rules would be applied, %d not; nothing is refused because of policy_lists.dry_run\n", applied, rest)
	}
	a.print(a.stdout, text)
	return nil
}
