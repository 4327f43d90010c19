package spaces_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/spaces"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol

// env is the harness, with the service of this package.
type env struct {
	*roomstest.Env
	spaces *spaces.Service
}

func envOn(t testing.TB, o roomstest.Options) *env {
	t.Helper()
	h := roomstest.Open(t, o).Run()
	return &env{h, spaces.New(h.Rooms.Timeline, h.Rooms.Directory)}
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	return envOn(t, roomstest.Options{})
}

// space makes a public space of alice's.
func (h *env) space() string {
	h.T.Helper()
	return h.Create(alice, rooms.CreateRequest{Preset: "public_chat", CreationContent: roomstest.Object{"type": json.RawMessage(`"m.space"`)}})
}

// child sets the m.space.child event of a room.
func (h *env) child(space, room, content string) (eventID string) {
	h.T.Helper()
	return h.SetState(alice, space, "m.space.child", room, content)
}

// usual is a query with the parameters that a request has without any.
func usual(user, room string) spaces.Query {
	return spaces.Query{UserID: user, RoomID: room, Limit: spaces.UsualLimit, Depth: spaces.MaxDepth}
}

// page is a page as a client gets it.
type page struct {
	Rooms []struct {
		RoomID   string  `json:"room_id"`
		Children []child `json:"children_state"`
		Name     string  `json:"name"`
	} `json:"rooms"`
	NextBatch string `json:"next_batch"`
}

type child struct {
	Type     string          `json:"type"`
	StateKey string          `json:"state_key"`
	Sender   string          `json:"sender"`
	Content  json.RawMessage `json:"content"`
	Time     int64           `json:"origin_server_ts"`
}

func (h *env) page(q spaces.Query) page {
	h.T.Helper()
	answer, err := h.spaces.Hierarchy(h.T.Context(), q)
	h.OK(err)
	var text bytes.Buffer
	w := reserve.NewWriter(nil, func(piece []byte) error {
		text.Write(piece)
		return nil
	})
	h.OK(answer.WriteJSON(h.T.Context(), w))
	h.OK(w.Flush())
	var p page
	h.OK(json.Unmarshal(text.Bytes(), &p))
	return p
}

// ids lists the rooms of a page.
func (p page) ids() []string {
	ids := []string{}
	for _, r := range p.Rooms {
		ids = append(ids, r.RoomID)
	}
	return ids
}

// all reads all pages.
func (h *env) all(q spaces.Query) []string {
	h.T.Helper()
	ids := []string{}
	for {
		p := h.page(q)
		ids = append(ids, p.ids()...)
		if q.From = p.NextBatch; q.From == "" {
			return ids
		}
	}
}
