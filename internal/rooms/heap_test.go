package rooms

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/cache/cachetest"
	"homeserver/internal/event"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms/timeline"
)

// bulk makes state events of a room without a database.
type bulk struct {
	t      *testing.T
	signer *event.Signer
}

func newBulk(t *testing.T) *bulk {
	return &bulk{t, &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}}
}

// event makes an event as it is in memory after another was authorised by it.
func (b *bulk) event(evType, stateKey, content string) *timeline.Event {
	b.t.Helper()
	v, _ := event.LookupVersion("11")
	id := "$" + strings.Repeat("x", 43)
	e, err := event.Build(v, event.Proto{
		RoomID: "!room:localhost", Type: evType, Sender: "@alice:localhost", StateKey: &stateKey, Content: []byte(content),
		PrevEvents: []string{id}, AuthEvents: []string{id, id, id},
	}, b.signer)
	if err != nil {
		b.t.Fatal(err)
	}
	_, _ = e.PowerLevels() // and parsed, where it has any
	return &timeline.Event{Event: e}
}

// manyLevels returns the largest content of power levels.
func manyLevels() string {
	var events []string
	for i := range 5800 {
		events = append(events, fmt.Sprintf(`"%x":1`, 4096+i))
	}
	return `{"events":{` + strings.Join(events, ",") + `}}`
}

func TestStateTakesNoMoreMemoryThanItsShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 32 << 20
	b := newBulk(t)
	long, levels := strings.Repeat("x", 250), manyLevels()
	large := `{"b":"` + strings.Repeat("x", 63_000) + `"}`
	for name, next := range map[string]func(i int) (evType, key string, e *timeline.Event){
		"large events": func(i int) (string, string, *timeline.Event) {
			return "com.big", fmt.Sprint(i), b.event("com.big", fmt.Sprint(i), large)
		},
		"what was replaced": func(i int) (string, string, *timeline.Event) {
			e := b.event("com.big", fmt.Sprint(i), large)
			e.Replace(b.event("com.big", fmt.Sprint(i), large))
			e.Settle()
			return "com.big", fmt.Sprint(i), e
		},
		"what was redacted": func(i int) (string, string, *timeline.Event) {
			e, because := b.event("com.big", fmt.Sprint(i), large), b.event("com.big", fmt.Sprint(i), large)
			e.Redact(b.event("com.big", fmt.Sprint(i), `{}`).Event, because)
			return "com.big", fmt.Sprint(i), e
		},
		"power levels": func(i int) (string, string, *timeline.Event) {
			return event.TypePowerLevels, fmt.Sprint(i), b.event(event.TypePowerLevels, fmt.Sprint(i), levels)
		},
		"members": func(i int) (string, string, *timeline.Event) {
			user := fmt.Sprintf("@user%d:localhost", i)
			return event.TypeMember, user, b.event(event.TypeMember, user, `{"displayname":"User","membership":"join"}`)
		},
		"nothing": func(i int) (string, string, *timeline.Event) { return long, fmt.Sprint(i) + long, nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := &Service{live: newLiveRooms(share)}
			cachetest.Fill(t, share, s.live.Stats, func() {
				for i, put := 0, int64(0); put < 2*share; i++ {
					id := fmt.Sprint("!room", i/100)
					r, _ := s.live.PutNew(id, &live{id: id, state: newLiveState(true)})
					before := r.state.bytes.Load()
					evType, key, e := next(i)
					r.state.set(event.StateKey{Type: evType, Key: key}, e, nil)
					put += r.state.bytes.Load() - before
					s.weigh(r)
				}
			})
		})
	}
}

func TestTransactionsTakeNoMoreMemoryThanTheirShare(t *testing.T) {
	matrixtest.Long(t)
	const share = 16 << 20
	long := strings.Repeat("x", 240)
	for name, text := range map[string]string{"short": "", "long": long} {
		t.Run(name, func(t *testing.T) {
			ts := newTransactions(share)
			cachetest.Fill(t, share, ts.recent.Stats, func() {
				for i := range 100_000 {
					n := fmt.Sprint(i)
					ts.put(1, &draft{sender: n + text, device: n + text, txn: n + text, typ: n + text}, &sent{eventID: n + text})
				}
			})
		})
	}
}
