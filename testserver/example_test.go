package testserver

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// greet is what the test below is about: a client that should send its greeting in spite of a rate limit, and does.
func greet(baseURL, token, room string) error {
	for {
		request, err := http.NewRequest(http.MethodPut, baseURL+"/_matrix/client/v3/rooms/"+room+"/send/m.room.message/greeting",
			strings.NewReader(`{"msgtype": "m.text", "body": "Hello!"}`))
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		if err := answer.Body.Close(); err != nil {
			return err
		}
		if answer.StatusCode != http.StatusTooManyRequests {
			return nil
		}
		wait, err := time.ParseDuration(answer.Header.Get("Retry-After") + "s")
		if err != nil {
			return err
		}
		<-time.After(wait)
	}
}

func TestGreetingIsSentInSpiteOfARateLimit(t *testing.T) {
	t.Parallel()
	server := Start(t, User("alice", "wordpass"), User("bot", "wordpass"))
	alice, bot := server.User("alice"), server.User("bot")
	room := server.Call(bot, "POST", "/createRoom", map[string]any{"preset": "public_chat"})["room_id"].(string)
	server.Call(alice, "POST", "/join/"+room, nil)

	const send = "/rooms/{roomId}/send/{eventType}/{txnId}"
	server.Fail(Fault{Route: send, UserID: bot.UserID, Times: 1, Effect: RateLimit(time.Second)})
	if err := greet(server.BaseURL, bot.AccessToken, room); err != nil {
		t.Fatal(err)
	}

	sent := server.WaitForRequests(Filter{Route: send}, 2)
	if sent[0].Status != 429 || sent[1].Status != 200 || sent[1].At.Sub(sent[0].At) < time.Second {
		t.Errorf("the bot has sent %+v", sent)
	}
	newest := server.Call(alice, "GET", "/rooms/"+room+"/messages?dir=b&limit=1", nil)["chunk"].([]any)
	if body := newest[0].(map[string]any)["content"].(map[string]any)["body"]; body != "Hello!" {
		t.Errorf("alice reads %v", body)
	}
}
