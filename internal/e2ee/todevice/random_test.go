package todevice

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// model is what each device should get, worked out slowly.
type model struct {
	h        *env
	random   *rand.Rand
	devices  []matrix.Session
	waiting  map[matrix.Session][]sent
	acked    map[matrix.Session]journal.Position
	position journal.Position
}

type sent struct {
	at   journal.Position
	text string
}

// Whatever happens, and however much of it is in memory, a device is given what was sent to it
// since a token, in order, and nothing of what it has acknowledged.
func TestRandomHistoriesAsAModelHasThem(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same each time
			window := []int{1, 2000, 1 << 20}[seed%3]
			h := envOn(t, nil, func(_ *Options, j *journal.Options) { j.WindowBytes = window })
			m := &model{h: h, random: random, waiting: map[matrix.Session][]sent{}, acked: map[matrix.Session]journal.Position{}}
			for i := range 6 {
				m.devices = append(m.devices, h.Device(fmt.Sprint("user", i/3), fmt.Sprint("D", i%3)))
			}
			for range 200 {
				d := m.devices[random.IntN(len(m.devices))]
				switch random.IntN(10) {
				case 0:
					m.replace(d)
				case 1, 2:
					m.acknowledge(d)
				case 3, 4, 5:
					m.check(d)
				default:
					m.send(d)
				}
			}
			for _, d := range m.devices {
				m.check(d)
			}
		})
	}
}

// send sends to some devices, each its own message, or one for all of a user.
func (m *model) send(from matrix.Session) {
	text := fmt.Sprint("m", m.random.IntN(1_000_000))
	messages := map[string]map[string]json.RawMessage{}
	put := func(user, device, text string) {
		if messages[user] == nil {
			messages[user] = map[string]json.RawMessage{}
		}
		messages[user][device] = json.RawMessage(`{"n":"` + text + `"}`)
	}
	want := map[matrix.Session]string{}
	if all := m.devices[m.random.IntN(len(m.devices))]; m.random.IntN(2) == 0 {
		put(all.UserID, "*", text)
		for _, d := range m.devices {
			if d.UserID == all.UserID {
				want[d] = text
			}
		}
	}
	for _, d := range m.devices {
		if m.random.IntN(3) == 0 {
			put(d.UserID, d.DeviceID, text+d.DeviceID)
			want[d] = text + d.DeviceID
		}
	}
	put(from.UserID, "NOBODY", "x")
	m.h.txn++
	m.h.OK(m.h.Service.Send(m.h.T.Context(), from, "m.x", fmt.Sprint(m.h.txn), messages))
	m.position = m.h.Env.Journal.Position()
	for d, text := range want {
		m.waiting[d] = append(m.waiting[d], sent{m.position, text})
	}
}

// check asks from any position there was, as a client with an old token does.
func (m *model) check(d matrix.Session) {
	after := journal.Position(m.random.Int64N(int64(m.position) + 1))
	var want []string
	for _, one := range m.waiting[d] {
		if one.at > max(after, m.acked[d]) {
			want = append(want, one.text)
		}
	}
	want = want[:min(len(want), maxMessages)]
	got, upTo := m.h.page(d, after)
	if diff := cmp.Diff(want, got); diff != "" {
		m.h.T.Fatalf("%s %s after %d, of which %d are acknowledged (-want +got):\n%s", d.UserID, d.DeviceID, after, m.acked[d], diff)
	}
	if len(want) < maxMessages && upTo != m.h.Env.Journal.Position() {
		m.h.T.Fatalf("these are all up to %d, and the log is at %d", upTo, m.h.Env.Journal.Position())
	}
}

func (m *model) acknowledge(d matrix.Session) {
	upTo := journal.Position(m.random.Int64N(int64(m.position) + 1))
	m.h.acknowledge(d, upTo)
	m.acked[d] = max(m.acked[d], upTo)
}

// replace removes a device, sends something, and makes the device anew under the same ID.
func (m *model) replace(d matrix.Session) {
	m.h.OK(m.h.Users.Sessions.Logout(m.h.T.Context(), d))
	delete(m.waiting, d)
	i := slices.Index(m.devices, d)
	m.devices = slices.Delete(m.devices, i, i+1)
	m.send(d)
	name := d.UserID[1 : len(d.UserID)-len(":localhost")]
	m.devices = slices.Insert(m.devices, i, m.h.Device(name, d.DeviceID))
}
