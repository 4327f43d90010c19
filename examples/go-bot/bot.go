package main

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Bot is a user who answers.
type Bot struct {
	BaseURL string
	Token   string
	// Pause is how long the bot waits after a failure that names no time; 0: a second. It doubles with each failure in a row.
	Pause time.Duration

	userID string
}

// syncAnswer is what the bot reads of an answer of /sync.
type syncAnswer struct {
	NextBatch string `json:"next_batch"`
	Rooms     struct {
		Invite map[string]struct{} `json:"invite"`
		Join   map[string]struct {
			Timeline struct {
				Events []event `json:"events"`
			} `json:"timeline"`
		} `json:"join"`
	} `json:"rooms"`
}

type event struct {
	ID      string `json:"event_id"`
	Type    string `json:"type"`
	Sender  string `json:"sender"`
	Content struct {
		Body string `json:"body"`
	} `json:"content"`
}

// Run answers until the context ends, or the server refuses what the bot asks for. What was said before it began is not answered.
func (b *Bot) Run(ctx context.Context) error {
	var who struct {
		UserID string `json:"user_id"`
	}
	if err := b.call(ctx, http.MethodGet, "/account/whoami", nil, &who); err != nil {
		return err
	}
	b.userID = who.UserID
	for since := ""; ; {
		query := url.Values{"timeout": {"30000"}}
		if since != "" {
			query.Set("since", since)
		}
		var answer syncAnswer
		if err := b.call(ctx, http.MethodGet, "/sync?"+query.Encode(), nil, &answer); err != nil {
			return err
		}
		if err := b.react(ctx, &answer, since == ""); err != nil {
			return err
		}
		since = answer.NextBatch // only now: what was not answered must come again
	}
}

// react joins and answers. The first answer of /sync has what was said before.
func (b *Bot) react(ctx context.Context, answer *syncAnswer, first bool) error {
	for room := range answer.Rooms.Invite {
		if err := b.call(ctx, http.MethodPost, "/join/"+url.PathEscape(room), struct{}{}, nil); err != nil {
			return err
		}
	}
	if first {
		return nil
	}
	for room, joined := range answer.Rooms.Join {
		for _, e := range joined.Timeline.Events {
			if e.Type != "m.room.message" || e.Sender == b.userID || strings.TrimSpace(e.Content.Body) != "!ping" {
				continue
			}
			// The transaction ID is made of the question: however often it is answered, the room has one answer.
			path := "/rooms/" + url.PathEscape(room) + "/send/m.room.message/" + url.PathEscape("pong-"+e.ID)
			if err := b.call(ctx, http.MethodPut, path, map[string]string{"msgtype": "m.notice", "body": "pong"}, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// call makes a request until the server has done it or refuses it. That is right for requests that may be repeated, as all
// here may: those that read, those with a transaction ID, and joining.
func (b *Bot) call(ctx context.Context, method, path string, body, into any) error {
	for pause := cmp.Or(b.Pause, time.Second); ; pause = min(2*pause, time.Minute) {
		err := b.try(ctx, method, path, body, into)
		again, ok := err.(*tryAgain) //nolint:errorlint // nothing wraps it
		if !ok {
			return err
		}
		select {
		case <-time.After(cmp.Or(again.after, pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
