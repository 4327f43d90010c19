package syncstream_test

import (
	"encoding/json"

	"homeserver/internal/personal/presence"
	"homeserver/internal/syncstream"
)

// slider is a connection of sliding sync that asks again and again.
type slider struct {
	h *env
	syncstream.SlidingQuery
}

// sliding makes a connection of a user's device; its body is JSON.
func (h *env) sliding(user, body string) *slider {
	h.T.Helper()
	s := &slider{h: h, SlidingQuery: syncstream.SlidingQuery{UserID: user, DeviceID: "PHONE", SetPresence: presence.Offline}}
	h.OK(json.Unmarshal([]byte(body), &s.SlidingRequest))
	return s
}

// allOf is the body of a request for all rooms with all state.
const allOf = `{"lists":{"all":{"timeline_limit":5,"required_state":[["*","*"]],"ranges":[[0,99]]}},
	"extensions":{"account_data":{"enabled":true},"receipts":{"enabled":true},"typing":{"enabled":true}}}`

// list returns the list all, to be changed.
func (s *slider) list(change func(l *syncstream.SlidingList)) {
	l := s.Lists["all"]
	change(&l)
	s.Lists = map[string]syncstream.SlidingList{"all": l}
}

// sync asks for what is new, and goes on from there.
func (s *slider) sync() *slid {
	s.h.T.Helper()
	a, err := s.h.SlidingSync(s.h.T.Context(), s.SlidingQuery)
	s.h.OK(err)
	s.Pos = a.Pos
	parsed := &slid{raw: written(s.h.T, a)}
	if err := json.Unmarshal(parsed.raw, parsed); err != nil {
		s.h.T.Fatalf("the answer is no JSON: %v\n%s", err, parsed.raw)
	}
	return parsed
}

// slid is an answer of sliding sync as a client reads it.
type slid struct {
	Lists      map[string]struct{ Count int }
	Rooms      map[string]*slidRoom
	Extensions struct {
		AccountData struct {
			Global []*ev
			Rooms  map[string][]*ev
		} `json:"account_data"`
		Receipts, Typing struct{ Rooms map[string]*ev }
	}
	raw []byte
}

type slidRoom struct {
	Membership    string
	Initial       bool
	Expanded      bool  `json:"unstable_expanded_timeline"`
	RequiredState []*ev `json:"required_state"`
	Timeline      []*ev
	Limited       bool
	NumLive       int   `json:"num_live"`
	BumpStamp     int64 `json:"bump_stamp"`
	Name          *string
	Heroes        []struct {
		UserID string `json:"user_id"`
	}
	JoinedCount   *int  `json:"joined_count"`
	InvitedCount  *int  `json:"invited_count"`
	Notifications *int  `json:"notification_count"`
	Highlights    *int  `json:"highlight_count"`
	InviteState   []*ev `json:"invite_state"`
}
