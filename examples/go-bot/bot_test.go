package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"homeserver/testserver"
)

const sendRoute = "/rooms/{roomId}/send/{eventType}/{txnId}"

// conversation is a room in which alice talks to the bot.
type conversation struct {
	*testserver.Server
	alice, bot testserver.Account
	room       string
	asked      int
}

// converse starts a server and the bot, and returns when the bot is in the room.
func converse(t *testing.T) *conversation {
	t.Helper()
	s := testserver.Start(t, testserver.User("alice", "wordpass"), testserver.User("bot", "wordpass"))
	c := &conversation{Server: s, alice: s.User("alice"), bot: s.User("bot")}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- (&Bot{BaseURL: s.BaseURL, Token: c.bot.AccessToken, Pause: 10 * time.Millisecond}).Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the bot has ended: %v", err)
		}
	})
	c.room = s.Call(c.alice, "POST", "/createRoom", map[string]any{"invite": []string{c.bot.UserID}})["room_id"].(string)
	s.WaitForRequests(testserver.Filter{Route: "/join/{roomIdOrAlias}"}, 1)
	return c
}

// ask has alice send "!ping".
func (c *conversation) ask() {
	c.asked++
	path := fmt.Sprintf("/rooms/%s/send/m.room.message/ask%d", url.PathEscape(c.room), c.asked)
	c.Call(c.alice, "PUT", path, map[string]string{"msgtype": "m.text", "body": "!ping"})
}

// answers returns how often the bot has answered in the room.
func (c *conversation) answers() (n int) {
	for _, e := range c.Call(c.alice, "GET", "/rooms/"+url.PathEscape(c.room)+"/messages?dir=b&limit=50", nil)["chunk"].([]any) {
		e := e.(map[string]any)
		if content, _ := e["content"].(map[string]any); e["sender"] == c.bot.UserID && content["body"] == "pong" {
			n++
		}
	}
	return n
}

// wantAnswers waits until the room has so many answers, and complains if it has more.
func (c *conversation) wantAnswers(t *testing.T, want int) {
	t.Helper()
	n := c.answers()
	for sent := want; n < want; sent++ {
		c.WaitForRequests(testserver.Filter{Route: sendRoute, UserID: c.bot.UserID}, sent)
		n = c.answers()
	}
	if n != want {
		t.Errorf("the room has %d answers, want %d", n, want)
	}
}

func TestBotAnswersOnceWhateverHappens(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault testserver.Fault
		sent  int // how often the bot sends its answer to the first question, at least
		pause time.Duration
	}{
		"rate limit":     {testserver.Fault{Route: sendRoute, Effect: testserver.RateLimit(time.Second)}, 2, time.Second},
		"broken proxy":   {testserver.Fault{Route: sendRoute, Effect: testserver.Refuse(502, "M_UNKNOWN")}, 2, 0},
		"lost request":   {testserver.Fault{Route: sendRoute, Effect: testserver.Drop()}, 2, 0},
		"lost answer":    {testserver.Fault{Route: sendRoute, After: true, Effect: testserver.Drop()}, 2, 0},
		"half an answer": {testserver.Fault{Route: sendRoute, Effect: testserver.Truncate(5)}, 2, 0},
		// These meet the /sync with the first question, or that with the second one.
		"half a /sync":         {testserver.Fault{Route: "/sync", Effect: testserver.Truncate(100)}, 1, 0},
		"the same /sync twice": {testserver.Fault{Route: "/sync", Effect: testserver.RepeatSync()}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := converse(t)
			test.fault.UserID, test.fault.Times = c.bot.UserID, 1
			fault := c.Fail(test.fault)
			c.ask()
			sent := c.WaitForRequests(testserver.Filter{Route: sendRoute, UserID: c.bot.UserID}, test.sent)
			if last := sent[len(sent)-1]; last.Status != 200 || len(sent) > 1 && last.At.Sub(sent[0].At) < test.pause {
				t.Errorf("the bot has sent %+v", sent)
			}
			c.wantAnswers(t, 1)
			c.ask()
			c.WaitForRequests(testserver.Filter{Route: sendRoute, UserID: c.bot.UserID}, test.sent+1)
			c.wantAnswers(t, 2)
			if hits := c.Hits(fault); hits != 1 {
				t.Errorf("the fault has met %d requests", hits)
			}
		})
	}
}

func TestBotEndsWhenItsTokenIsRefused(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t)
	if err := (&Bot{BaseURL: s.BaseURL, Token: "of nobody"}).Run(t.Context()); err == nil {
		t.Error("the bot has ended without an error")
	}
}
