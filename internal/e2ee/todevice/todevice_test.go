package todevice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"homeserver/internal/clock"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

// lines is a log that may be written to and read at once.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestTooLongQueueLosesItsOldestMessages(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(o *Options){
		"by number": func(o *Options) { o.MaxMessages = 10 },
		"by bytes":  func(o *Options) { o.MaxBytes = 10 * (rowBytes + len(`{"n":"00"}`)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &lines{}
			h := envOn(t, nil, func(o *Options, _ *journal.Options) {
				change(o)
				o.Log = slog.New(slog.NewTextHandler(log, nil))
			})
			alice, bob := h.Device("alice", "A"), h.Device("bob", "B")
			var want []string
			for i := range 30 {
				text := fmt.Sprintf("%02d", i)
				h.send(alice, text, bob)
				want = append(want, text)
			}
			matrixtest.Until(t, "the queue is shortened", func() bool { return h.stored("to_device") == 10 })
			envOn(t, h.Pool).wants(bob, 0, want[20:]...)
			h.Stop()
			if n := strings.Count(log.String(), "too many messages wait for a device"); n != 1 || !strings.Contains(log.String(), "device=B") {
				t.Errorf("the log says it %d times: %s", n, log)
			}
		})
	}
}

func TestOtherProcessDoesNotRepeatWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	one, other := together(t)
	alice, bob := one.Device("alice", "A"), one.Device("bob", "B")
	other.wants(bob, 0)
	one.send(alice, "a", bob)
	matrixtest.Until(t, "the message is known in the other process", func() bool {
		list, _ := other.page(bob, 0)
		return len(list) == 1
	})
	_, upTo := one.page(bob, 0)
	one.acknowledge(bob, upTo)
	one.wants(bob, 0)
	matrixtest.Until(t, "so is its acknowledgement", func() bool {
		list, _ := other.page(bob, 0)
		return len(list) == 0
	})
	if n := one.stored("to_device"); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

func TestMessagesGoWithTheirDevice(t *testing.T) {
	t.Parallel()
	one, other := together(t)
	alice, bob := one.Device("alice", "A"), one.Device("bob", "B")
	one.Device("bob", "C")
	other.wants(bob, 0)
	one.send(alice, "a", bob)
	one.send(bob, "b", alice)
	one.OK(one.Users.Sessions.Logout(t.Context(), bob))
	if messages, transactions := one.stored("to_device"), one.stored("to_device_transactions"); messages != 2 || transactions != 1 {
		t.Errorf("%d messages and %d transactions are left, want those of the other devices", messages, transactions)
	}
	one.Device("bob", "B")
	one.wants(bob, 0)
	matrixtest.Until(t, "the other process knows", func() bool {
		list, _ := other.page(bob, 0)
		return len(list) == 0
	})
	one.OK(one.Erase(t.Context(), bob.UserID))
	one.OK(one.Erase(t.Context(), alice.UserID))
	if n := one.stored("to_device") + one.stored("to_device_transactions"); n != 0 {
		t.Errorf("%d rows are left of erased users", n)
	}
}

func TestMessagesThatSlippedInAreNobodys(t *testing.T) {
	t.Parallel()
	h := envOn(t, nil)
	alice, bob := h.Device("alice", "A"), h.Device("bob", "B")
	h.send(alice, "a", bob)
	// As if it had been sent while the device's predecessor was being removed.
	_, err := h.Pool.Exec(t.Context(), `UPDATE to_device SET device_created_at = device_created_at - 1`)
	h.OK(err)
	h.send(alice, "b", bob)
	again := envOn(t, h.Pool)
	again.wants(bob, 0, "b")
	again.OK(again.deleteOrphans(t.Context()))
	if n := h.stored("to_device"); n != 1 {
		t.Errorf("%d messages are left, want 1", n)
	}
	again.wants(bob, 0, "b")
}

func TestOldTransactionsAreForgotten(t *testing.T) {
	t.Parallel()
	c := &clock.Clock{}
	h := envOn(t, nil, func(o *Options, _ *journal.Options) { o.Clock = c })
	alice := h.Device("alice", "A")
	h.send(alice, "a", alice)
	c.Advance(transactionsKept - time.Minute)
	h.send(alice, "b", alice)
	c.Advance(tidyEvery) // by which the work is due that deletes
	matrixtest.Until(t, "that of today is left", func() bool { return h.stored("to_device_transactions") == 1 })
}

func TestRequestReachesABoundedNumberOfDevices(t *testing.T) {
	t.Parallel()
	h := envOn(t, nil)
	alice := h.Device("alice", "A")
	const users, devices = 11, 1000
	_, err := h.Pool.Exec(t.Context(), `
		WITH u AS (SELECT '@many' || i || ':localhost' AS user_id FROM generate_series(1, $1::int) i),
		a AS (INSERT INTO accounts (user_id, created_at) SELECT user_id, 0 FROM u RETURNING user_id)
		INSERT INTO devices (user_id, device_id, created_at, last_seen_ts, last_seen_ip, user_agent)
		SELECT user_id, 'D' || d, 0, 0, '', '' FROM a, generate_series(1, $2::int) d`, users, devices)
	h.OK(err)
	var all []matrix.Session
	for i := range users {
		all = append(all, matrix.Session{UserID: fmt.Sprintf("@many%d:localhost", i+1)})
	}
	for name, err := range map[string]error{
		"too many": h.try(alice, "1", "x", all...),
		"too much": h.try(alice, "2", strings.Repeat("x", 10_000), all[:1]...),
	} {
		if !matrix.IsCode(err, matrix.TooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := h.stored("to_device") + h.stored("to_device_transactions"); n != 0 {
		t.Errorf("%d rows are left of what was refused", n)
	}
	h.send(alice, "x", all[:9]...)
	if n := h.stored("to_device"); n != 9*devices {
		t.Errorf("%d messages are stored, want %d", n, 9*devices)
	}
}

func TestSenderPaysForEachDeviceAheadOfTheWriting(t *testing.T) {
	t.Parallel()
	h := envOn(t, nil, func(_ *Options, j *journal.Options) {
		j.Limits = ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
			ratelimit.WrittenBytes: {PerSecond: 0.001, Burst: 8000},
		}, time.Now, 0)
	})
	alice, bob := h.Device("alice", "A"), h.Device("bob", "B1")
	for i := range 4 {
		h.Device("bob", fmt.Sprint("B", i+2))
	}
	ctx := matrix.WithCaller(t.Context(), alice.UserID)
	message := map[string]map[string]json.RawMessage{bob.UserID: {"*": json.RawMessage(`{"n":"` + strings.Repeat("x", 1000) + `"}`)}}
	h.OK(h.Service.Send(ctx, alice, "m.x", "1", message))
	if err := h.Service.Send(ctx, alice, "m.x", "2", message); !matrix.IsCode(err, matrix.LimitExceeded) {
		t.Errorf("a second message to five devices: %v", err)
	}
	h.OK(h.Service.Send(ctx, alice, "m.x", "1", message)) // to repeat one costs nothing
	if n := h.stored("to_device"); n != 5 {
		t.Errorf("%d messages are stored, want 5", n)
	}
}

// outbound is a way to other servers that writes into a table.
type outbound struct{}

// Queue writes the messages into the table.
func (outbound) Queue(b *pgx.Batch, m RemoteMessages) {
	for userID, byDevice := range m.Contents {
		for deviceID, content := range byDevice {
			b.Queue(`INSERT INTO sent_away VALUES ($1)`, fmt.Sprintf("%s %s %s %s %s", m.Sender, m.Type, userID, deviceID, content))
		}
	}
}

func TestMessagesToOtherServersAreInTheSameCommit(t *testing.T) {
	t.Parallel()
	h := envOn(t, nil, func(o *Options, _ *journal.Options) { o.Remote = outbound{} })
	alice, bob := h.Device("alice", "A"), h.Device("bob", "B")
	_, err := h.Pool.Exec(t.Context(), `CREATE TABLE sent_away (message text)`)
	h.OK(err)
	far := matrix.Session{UserID: "@far:elsewhere.example"}
	for range 2 {
		h.OK(h.try(alice, "txn", "a", bob, far))
		h.OK(h.try(alice, "txn2", "b", far))
		h.recent.RemoveAll(nil) // as after a restart
	}
	h.wants(bob, 0, "a")
	rows, _ := h.Pool.Query(t.Context(), `SELECT message FROM sent_away ORDER BY message`)
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	h.OK(err)
	want := []string{alice.UserID + ` m.x @far:elsewhere.example * {"n":"a"}`, alice.UserID + ` m.x @far:elsewhere.example * {"n":"b"}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sent to other servers (-want +got):\n%s", diff)
	}
}
