package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"golang.org/x/sync/errgroup"
)

// api begins the paths of the client-server API.
const api = "/_matrix/client/v3"

// connections makes one connection for each of the users.
func (h *house) connections(ctx context.Context, users []user) ([]*client, error) {
	list := make([]*client, 0, len(users))
	for _, u := range users {
		c, err := dial(ctx, h.server.address, u.token)
		if err != nil {
			closeAll(list)
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

func closeAll(list []*client) {
	for _, c := range list {
		c.close()
	}
}

// roomBody makes a public room.
const roomBody = `{"preset":"public_chat","name":"A room"}`

// createRoom makes a public room.
func (c *client) createRoom() (roomID string, err error) {
	var answer struct {
		RoomID string `json:"room_id"`
	}
	err = c.into(&answer, http.MethodPost, api+"/createRoom", roomBody)
	return answer.RoomID, err
}

// join joins a public room.
func (c *client) join(roomID string) error {
	_, err := c.do(http.MethodPost, api+"/join/"+url.PathEscape(roomID), "{}")
	return err
}

// messageBody is a message of the usual length.
const messageBody = `{"msgtype":"m.text","body":"a message of the usual length, which is not very long"}`

// say sends a message with a transaction ID that the caller never repeats.
func (c *client) say(roomID, txn string) (eventID string, err error) {
	var answer struct {
		EventID string `json:"event_id"`
	}
	err = c.into(&answer, http.MethodPut, sendPath(roomID, txn), messageBody)
	return answer.EventID, err
}

func sendPath(roomID, txn string) string {
	return api + "/rooms/" + url.PathEscape(roomID) + "/send/m.room.message/" + txn
}

// messagesPath asks for a page of a room, back from a token, which is empty at the end.
func messagesPath(roomID, from string, limit int) string {
	query := url.Values{"dir": {"b"}, "limit": {fmt.Sprint(limit)}}
	if from != "" {
		query.Set("from", from)
	}
	return api + "/rooms/" + url.PathEscape(roomID) + "/messages?" + query.Encode()
}

// contextPath asks for an event and for what stands around it.
func contextPath(roomID, eventID, filter string) string {
	return api + "/rooms/" + url.PathEscape(roomID) + "/context/" + url.PathEscape(eventID) + "?" + url.Values{"filter": {filter}}.Encode()
}

// tokenAfter returns the token from which pages go back beginning with an event.
func (c *client) tokenAfter(roomID, eventID string) (string, error) {
	var answer struct {
		End string `json:"end"`
	}
	err := c.into(&answer, http.MethodGet, contextPath(roomID, eventID, "")+"&limit=0", "")
	return answer.End, err
}

// joiners is how many users join rooms at once where that is not what is measured.
const joiners = 32

// fill has users join rooms. rooms returns those of a user.
func (h *house) fill(ctx context.Context, users []user, rooms func(i int) []string) error {
	g, ctx := errgroup.WithContext(ctx)
	for worker := range joiners {
		g.Go(func() error {
			for i := worker; i < len(users); i += joiners {
				if err := h.joinAll(ctx, users[i], rooms(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (h *house) joinAll(ctx context.Context, u user, rooms []string) error {
	c, err := dial(ctx, h.server.address, u.token)
	if err != nil {
		return err
	}
	defer c.close()
	for _, room := range rooms {
		if err := c.join(room); err != nil {
			return fmt.Errorf("%s: %w", u.id, err)
		}
	}
	return nil
}

// roomOf makes a room of some users, with a message in it. The first one made it.
func (h *house) roomOf(ctx context.Context, users []user) (roomID string, err error) {
	founder, err := dial(ctx, h.server.address, users[0].token)
	if err != nil {
		return "", err
	}
	defer founder.close()
	if roomID, err = founder.createRoom(); err != nil {
		return "", err
	}
	if err := h.fill(ctx, users[1:], func(int) []string { return []string{roomID} }); err != nil {
		return "", err
	}
	_, err = founder.say(roomID, "first")
	return roomID, err
}
