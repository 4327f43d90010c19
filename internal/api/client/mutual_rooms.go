package client

import (
	"strconv"
	"strings"

	"homeserver/internal/httpapi"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// mutualRoomsPage is how many rooms one answer has.
const mutualRoomsPage = 1000

// mutualRoomsAnswer has the rooms that two users are in.
type mutualRoomsAnswer struct {
	Joined    []string `json:"joined"`
	Count     int64    `json:"count"`
	NextBatch string   `json:"next_batch,omitempty"`
	// NextBatchToken is the same by the name of the proposal.
	NextBatchToken string `json:"next_batch_token,omitempty"`
}

// mutualRooms lists the rooms that the user and another are in. M_MISSING_PARAM without the
// other, M_INVALID_PARAM for an ID or a token that is none, and for the user's own ID.
// Section "Mutual Rooms", GET /mutual_rooms.
func (a *api) mutualRooms(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.mutualRoomsFrom(r, who, r.Query("from"))
}

// mutualRoomsAsProposed is the same with the tokens of MSC2666, GET
// /uk.half-shot.msc2666/user/mutual_rooms.
func (a *api) mutualRoomsAsProposed(r *httpapi.Request, who matrix.Session) (any, error) {
	token := r.Query("batch_token")
	if token == "" {
		token = r.Query("from")
	}
	answer, err := a.mutualRoomsFrom(r, who, token)
	if err != nil {
		return nil, err
	}
	answer.NextBatchToken = answer.NextBatch
	return answer, nil
}

func (a *api) mutualRoomsFrom(r *httpapi.Request, who matrix.Session, token string) (*mutualRoomsAnswer, error) {
	other, err := queryOther(r, who)
	if err != nil {
		return nil, err
	}
	after, err := parseRoomsToken(token)
	if err != nil {
		return nil, err
	}
	// One more than a page, to know whether there are more.
	list, count, err := a.Rooms.Timeline.MutualRooms(r.Context(), who.UserID, other, after, mutualRoomsPage+1)
	if err != nil {
		return nil, err
	}
	answer := &mutualRoomsAnswer{Joined: []string{}, Count: count}
	for i, m := range list {
		if i == mutualRoomsPage {
			answer.NextBatch = roomsToken(list[i-1].Room)
			break
		}
		answer.Joined = append(answer.Joined, m.RoomID)
	}
	return answer, nil
}

// queryOther returns the user whom a query names, by an ID of the current character set.
func queryOther(r *httpapi.Request, who matrix.Session) (string, error) {
	named := r.QueryValues()["user_id"]
	if len(named) == 0 || named[0] == "" {
		return "", matrix.Errorf(matrix.MissingParam, "user_id is missing")
	}
	localpart, _, err := matrix.ParseUserID(named[0])
	if err != nil {
		return "", err
	}
	historical := strings.ContainsFunc(localpart, func(c rune) bool { return c < '!' || c > '~' })
	if historical || localpart == "" || len(named) > 1 || named[0] == who.UserID {
		return "", matrix.Errorf(matrix.InvalidParam, "user_id must be the ID of one other user, in the current character set")
	}
	return named[0], nil
}

// roomsToken returns the token for the rooms after one.
func roomsToken(after journal.RoomNID) string { return "r" + strconv.FormatInt(int64(after), 10) }

// parseRoomsToken reads such a token; 0 for none.
func parseRoomsToken(token string) (journal.RoomNID, error) {
	if token == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(token, "r"), 10, 64)
	if after := journal.RoomNID(n); err == nil && n > 0 && roomsToken(after) == token {
		return after, nil
	}
	return 0, matrix.Errorf(matrix.InvalidParam, "the token is none of this endpoint")
}
