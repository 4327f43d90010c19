package userdirectory

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/profile"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/text"
)

// Bounds of one search.
const (
	defaultLimit = 10
	maxLimit     = 50
	maxTermBytes = 255
	maxTermWords = 8
	// maxCandidates is how many matches are checked, the best first: most of them may
	// be strangers to the asker.
	maxCandidates = 5000
	// patience is how long a search waits for the directory.
	patience = 5 * time.Second
)

// Service updates the directory and searches it. Its methods may be called
// concurrently.
type Service struct {
	pool     *pgxpool.Pool
	journal  *journal.Journal
	rooms    *timeline.Store
	profiles *profile.Service
	follower *journal.Follower
	allNew   atomic.Bool // no entry is of an older version of the server
}

// New makes the service on a migrated database. Call it before the journal is
// started.
func New(pool *pgxpool.Pool, j *journal.Journal, r *timeline.Store, p *profile.Service) *Service {
	s := &Service{pool: pool, journal: j, rooms: r, profiles: p}
	s.follower = j.Follower("user_directory", s.update)
	return s
}

// Start begins to keep the directory, until Stop. Call it after the journal has
// been started.
func (s *Service) Start(ctx context.Context) { s.follower.Start(ctx) }

// Stop ends the work on the directory.
func (s *Service) Stop() { s.follower.Stop() }

// User is a user who was found. DisplayName and AvatarURL are "" if there are none.
type User struct {
	UserID      string          `json:"user_id"`
	DisplayName matrix.Nullable `json:"display_name"`
	AvatarURL   matrix.Nullable `json:"avatar_url"`
}

// Found is the answer to a search. Limited reports that there are more.
type Found struct {
	Results []User `json:"results"`
	Limited bool   `json:"limited"`
}

// Search finds at most limit people whose name or user ID has all words of the
// term, 50 at most; nil means 10. M_INVALID_PARAM for a limit below 0 or a term of
// more than 255 bytes. Client-server API, POST /user_directory/search.
func (s *Service) Search(ctx context.Context, asker, term string, limit *int) (*Found, error) {
	most := defaultLimit
	if limit != nil {
		most = min(*limit, maxLimit)
	}
	if most < 0 {
		return nil, matrix.Errorf(matrix.InvalidParam, "limit must not be negative")
	}
	if len(term) > maxTermBytes {
		return nil, matrix.Errorf(matrix.InvalidParam, "search_term may have %d bytes at most", maxTermBytes)
	}
	q := newQuery(term)
	if len(q.words) == 0 && q.userID == "" {
		return &Found{Results: []User{}}, nil
	}
	if err := s.follower.AwaitNewest(ctx, patience); err != nil {
		return nil, err
	}
	candidates, err := s.find(ctx, q)
	if err != nil {
		return nil, err
	}
	visible, err := s.rooms.Visible(ctx, asker, candidates)
	if err != nil {
		return nil, err
	}
	known := slices.DeleteFunc(candidates, func(userID string) bool { return !visible[userID] })
	return s.show(ctx, known[:min(len(known), most)], len(known) > most || len(candidates) == maxCandidates)
}

// show returns people with their names and avatars as they are now.
func (s *Service) show(ctx context.Context, userIDs []string, limited bool) (*Found, error) {
	profiles, err := s.profiles.Many(ctx, userIDs)
	if err != nil {
		return nil, err
	}
	found := &Found{Results: []User{}, Limited: limited}
	for _, userID := range userIDs {
		p := profiles[userID]
		found.Results = append(found.Results, User{userID, matrix.Nullable(p.DisplayName), matrix.Nullable(p.AvatarURL)})
	}
	return found, nil
}

// query has the texts that a name or ID is compared with.
type query struct {
	// whole is the folded term, and words its words, with characters that have nothing
	// between them as one.
	whole string
	words []string
	// userID is the beginning of a user ID with its server, where the term may be one, and
	// localpart its local part.
	userID, localpart string
}

func newQuery(term string) query {
	term, isID := strings.CutPrefix(strings.TrimSpace(term), "@")
	q := query{whole: foldedName(term)}
	if localpart, _, found := strings.Cut(strings.ToLower(term), ":"); found { // without the sigil, a name may have a colon, too
		q.userID, q.localpart = "@"+strings.ToLower(term), localpart
	}
	if isID && q.userID != "" {
		return q
	}
	for _, w := range text.Words(term) {
		folded := strings.ReplaceAll(text.Fold(w.Text), " ", "")
		switch n := len(q.words); {
		case w.Adjoins && n > 0: // as in Japanese
			q.words[n-1] += folded
		case n < maxTermWords:
			q.words = append(q.words, folded)
		default:
			return q
		}
	}
	return q
}

// foldedName returns the form in which whole names are compared.
func foldedName(name string) string { return strings.Join(strings.Fields(text.Fold(name)), " ") }

// update brings the directory up to a position: users who have joined a room, or got a
// new name in one, are entered anew, and with them some of those whom an older version of
// the server has entered. It is a journal.Step.
func (s *Service) update(ctx context.Context, tx pgx.Tx, after, upTo journal.Position) error {
	events, err := s.rooms.StateBetween(ctx, after, upTo, event.TypeMember)
	if err != nil {
		return err
	}
	var userIDs []string
	for e, err := range events.All(ctx) {
		if err != nil {
			return err
		}
		if e.Membership() == event.Join {
			userIDs = append(userIDs, *e.StateKey)
		}
	}
	if !s.allNew.Load() {
		old, err := older(ctx, tx)
		if err != nil {
			return err
		}
		s.allNew.Store(len(old) == 0)
		userIDs = append(userIDs, old...)
	}
	slices.Sort(userIDs)
	userIDs = slices.Compact(userIDs)
	if len(userIDs) == 0 {
		return nil
	}
	profiles, err := s.profiles.Many(ctx, userIDs)
	if err != nil {
		return err
	}
	return store(ctx, tx, userIDs, profiles)
}
