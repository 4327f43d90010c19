package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"homeserver/internal/personal/reports"
	"homeserver/internal/server"
	"homeserver/internal/server/config"
)

const (
	// reportsPage is how many reports are listed at a time.
	reportsPage = 1000
	// reasonShown is how much of a reason is in the list.
	reasonShown = 50
)

func reportsListCommand() command {
	return command{
		name:    "reports list",
		summary: "List what users have reported, and nobody has dealt with",
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			var s settings
			s.declare(flags)
			all := flags.Bool("all", false, "list closed reports, too")
			return func(ctx context.Context, _ []string) error {
				cfg, err := s.load(a)
				if err != nil {
					return err
				}
				return a.withReports(ctx, cfg, func(book *server.ReportBook) error { return a.listReports(ctx, book, *all) })
			}
		},
	}
}

func reportsShowCommand() command {
	return command{
		name:    "reports show",
		args:    "NUMBER",
		summary: "Show a report, with the event that it is about",
		details: lines(
			"The event is shown as the server has it now, whether or not the operator is in the room. Of one that is",
			"encrypted the server has no text, and of one that was redacted not any more. What is not printable is",
			"shown as \\u and a number, so that nobody can write commands for your terminal.",
		),
		prepare: onReport(func(ctx context.Context, a *app, book *server.ReportBook, id int64) error {
			r, err := book.Find(ctx, id)
			if err != nil {
				return err
			}
			return a.showReport(ctx, book, r)
		}),
	}
}

func reportsCloseCommand() command {
	return command{
		name:    "reports close",
		args:    "NUMBER",
		summary: "Note that a report has been dealt with",
		details: "It is not listed any more, except by reports list --all. The user who has reported is not told.",
		prepare: func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
			note := flags.String("note", "", "what to note beside the report, for you alone: `TEXT`")
			return onReport(func(ctx context.Context, a *app, book *server.ReportBook, id int64) error {
				return a.closeReport(ctx, book, id, *note)
			})(a, flags)
		},
	}
}

func (a *app) closeReport(ctx context.Context, book *server.ReportBook, id int64, note string) error {
	closed, err := book.Close(ctx, id, note)
	if err != nil {
		return err
	}
	if closed {
		a.print(a.stdout, fmt.Sprintf("Closed report %d.\n", id))
	} else {
		a.print(a.stdout, fmt.Sprintf("Report %d was closed already.\n", id))
	}
	return nil
}

// onReport makes a command of one that works on the report of a number.
func onReport(do func(ctx context.Context, a *app, book *server.ReportBook, id int64) error) func(*app, *flag.FlagSet) func(context.Context, []string) error {
	return func(a *app, flags *flag.FlagSet) func(context.Context, []string) error {
		var s settings
		s.declare(flags)
		return func(ctx context.Context, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return usagef("NUMBER must be that of a report, as `homeserver reports list` shows it")
			}
			cfg, err := s.load(a)
			if err != nil {
				return err
			}
			return a.withReports(ctx, cfg, func(book *server.ReportBook) error { return do(ctx, a, book, id) })
		}
	}
}

func (a *app) withReports(ctx context.Context, cfg *config.Config, do func(*server.ReportBook) error) error {
	return server.WithReports(ctx, cfg, quietLog(a.stderr, cfg.Log), do)
}

// listReports writes a table of reports.
func (a *app) listReports(ctx context.Context, book *server.ReportBook, all bool) error {
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "REPORT\tRECEIVED\tBY\tABOUT\tREASON\n")
	last := int64(0)
	for {
		page, err := book.List(ctx, all, last, reportsPage)
		if err != nil {
			return err
		}
		for _, r := range page {
			number := strconv.FormatInt(r.ID, 10)
			if r.ClosedAt != nil {
				number += " (closed)"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", number, moment(r.ReceivedAt), printable(r.Reporter), about(r), firstWords(r.Reason))
			last = r.ID
		}
		if len(page) < reportsPage {
			break
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the reports: %w", err)
	}
	counts, err := book.Count(ctx)
	if err == nil {
		a.print(a.stdout, fmt.Sprintf("%d open, %d closed\n", counts.Open, counts.Closed))
	}
	return err
}

// about returns in a few words what is reported.
func about(r reports.Report) string {
	switch {
	case r.EventID != "":
		return "event by " + printable(r.UserID)
	case r.RoomID != "":
		return "room " + printable(r.RoomID)
	default:
		return "user " + printable(r.UserID)
	}
}

// firstWords returns the beginning of a text in one line.
func firstWords(text string) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) > reasonShown {
		runes = append(runes[:reasonShown-1], '…')
	}
	return printable(string(runes))
}

// moment writes a time of the database.
func moment(milliseconds int64) string {
	return time.UnixMilli(milliseconds).UTC().Format(time.DateTime)
}

// showReport writes all that is known of a report.
func (a *app) showReport(ctx context.Context, book *server.ReportBook, r *reports.Report) error {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s:\t%s\n", name, value)
		}
	}
	row("Report", strconv.FormatInt(r.ID, 10))
	row("Received", moment(r.ReceivedAt)+" UTC")
	if r.ClosedAt != nil {
		row("Closed", moment(*r.ClosedAt)+" UTC")
	}
	row("By", printable(r.Reporter))
	row("User", printable(r.UserID))
	row("Room", printable(r.RoomID))
	row("Event", printable(r.EventID))
	if r.Score != nil {
		row("Score", fmt.Sprintf("%d, from -100 (most offensive) to 0", *r.Score))
	}
	// The table is written to memory, which never fails.
	_ = table.Flush()
	section(&text, "Reason", r.Reason)
	section(&text, "Note", r.Note)
	if r.EventID != "" {
		if err := showEvent(ctx, &text, book, r); err != nil {
			return err
		}
	}
	a.print(a.stdout, text.String())
	return nil
}

// showEvent adds the event of a report.
func showEvent(ctx context.Context, text *strings.Builder, book *server.ReportBook, r *reports.Report) error {
	raw, redacted, err := book.Event(ctx, r)
	if err != nil {
		return err
	}
	var indented bytes.Buffer
	switch {
	case raw == nil:
		section(text, "Event", "The server does not have it any more.")
	case json.Indent(&indented, raw, "", "  ") != nil:
		section(text, "Event", "It is damaged.")
	case redacted:
		section(text, "Event, which was redacted", indented.String())
	default:
		section(text, "Event", indented.String())
	}
	return nil
}

// section adds a longer text, indented.
func section(text *strings.Builder, title, content string) {
	if content == "" {
		return
	}
	fmt.Fprintf(text, "\n%s:\n\n", title)
	for line := range strings.SplitSeq(content, "\n") {
		text.WriteString("  " + printable(line) + "\n")
	}
}

// printable makes text of users fit for a terminal: control characters and those that
// change the direction of writing become \u and a number.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsGraphic(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
