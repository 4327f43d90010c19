package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/httpapi/ratelimit"
)

// topical is a table of notes that concern as many rooms, in the end, as their bodies say:
// rooms 101, 102, … Positions and numbers of the entries of each call go to called.
func topical(called *[]string) *Table {
	return &Table{
		Name: "topical", Queue: queueNotes, Decode: decodeNote,
		Read: func(context.Context, *pgx.Conn, Position, Position, int) ([]*Entry, error) { return nil, nil },
		AddTopics: func(ctx context.Context, conn *pgx.Conn, entries []*Entry, most int) error {
			var journal, written int
			err := conn.QueryRow(ctx, `SELECT (SELECT position FROM journal), (SELECT count(*) FROM notes)`).Scan(&journal, &written)
			if err != nil {
				return err
			}
			*called = append(*called, fmt.Sprintf("%d at %d after %d, %d written", len(entries), entries[0].Position, journal, written))
			for _, e := range entries {
				n, err := strconv.Atoi(e.Value.(string))
				if err != nil {
					return errors.New("this is no number")
				}
				if most -= n; most < 0 {
					return ErrTooMuch
				}
				for i := range n {
					e.Topics = append(e.Topics, Topic{Room: RoomNID(101 + i)})
				}
			}
			return nil
		},
	}
}

func TestTopicsAreAddedToPostsAsOfTheirPositions(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	for _, n := range []string{"1", "2", "no number", "3"} {
		post(t, pool, "topical", n, Topic{User: alice})
	}
	var called []string
	j := New(pool, Options{Watch: never})
	j.Add(topical(&called))
	start(t, j)
	commit(t, j, note(7, "before"))
	called = nil // while it was not known that one is bad
	for _, n := range []string{"0", "2"} {
		post(t, pool, "topical", n, Topic{User: bob})
	}
	l := j.Listen()
	defer l.Close()
	l.Follow(Topic{Room: 102})
	woken := l.Woken()
	if err := j.ShowPosted(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-woken
	if want := []string{"2 at 5 after 4, 4 written"}; !slices.Equal(called, want) {
		t.Errorf("called with %q instead of %q", called, want)
	}
	j.Read(func(v View) {
		for topic, want := range map[Topic][]string{
			{User: alice}: {"1", "2", "3"}, {User: bob}: {"0", "2"},
			{Room: 101}: {"1", "2", "3", "2"}, {Room: 102}: {"2", "3", "2"}, {Room: 103}: {"3"}, {Room: 104}: {},
		} {
			if got := values(v.About(topic, 0)); !slices.Equal(got, want) {
				t.Errorf("about %v: %q instead of %q", topic, got, want)
			}
		}
	})
	if rest := left(t, pool); !slices.Equal(rest, []string{"no number"}) {
		t.Errorf("left is %q", rest)
	}
}

func TestPostsWithManyTopicsAreTakenOverFewAtOnce(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	for _, n := range []string{"4", "4", "4", "4", "1000"} {
		post(t, pool, "topical", n, Topic{User: alice})
	}
	var called []string
	var groups []int
	j := New(pool, Options{Watch: never, GroupWrites: 8, GroupBytes: 10 * topicOverhead})
	j.Add(topical(&called))
	j.Observe(Observer{
		Committed: func(_ View, entries []*Entry) { groups = append(groups, len(entries)) },
		Reset:     func(Position) {},
	})
	start(t, j)
	if err := j.ShowPosted(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, rest := fmt.Sprint(groups), left(t, pool); got != "[2 2 1]" || len(rest) > 0 {
		t.Errorf("taken over in groups of %s, left is %q", got, rest)
	}
}

func TestTopicsThatAreAddedAreCharged(t *testing.T) {
	t.Parallel()
	pool := notesPool(t)
	limits := ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
		ratelimit.WrittenBytes: {PerSecond: 1, Burst: 10 * topicOverhead},
	}, time.Now, 0)
	var called []string
	j := New(pool, Options{Watch: never, Limits: limits})
	j.Add(topical(&called))
	start(t, j)
	for _, user := range []string{alice, bob} {
		post(t, pool, "topical", map[string]string{alice: "9", bob: "1"}[user], Topic{User: user})
	}
	if err := j.ShowPosted(t.Context()); err != nil {
		t.Fatal(err)
	}
	for user, most := range map[string]int{alice: topicOverhead, bob: 9 * topicOverhead} {
		if _, err := limits.TakeN(ratelimit.WrittenBytes, user, most+topicOverhead); err == nil {
			t.Errorf("the topics of %s are not counted", user)
		}
		if _, err := limits.TakeN(ratelimit.WrittenBytes, user, most-topicOverhead/2); err != nil {
			t.Errorf("%s has too little left: %v", user, err)
		}
	}
}
