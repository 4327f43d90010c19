package timeline

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
)

// EventFilter chooses room events: client-server API, "Filtering", the schema
// RoomEventFilter. A nil filter selects every event.
type EventFilter struct {
	Limit                   *int      `json:"limit"`
	Types                   *[]string `json:"types"`
	NotTypes                []string  `json:"not_types"`
	Senders                 *[]string `json:"senders"`
	NotSenders              []string  `json:"not_senders"`
	Rooms                   *[]string `json:"rooms"`
	NotRooms                []string  `json:"not_rooms"`
	ContainsURL             *bool     `json:"contains_url"`
	LazyLoadMembers         bool      `json:"lazy_load_members"`
	IncludeRedundantMembers bool      `json:"include_redundant_members"`
	ThreadNotifications     bool      `json:"unread_thread_notifications"`
	// ThreadNotificationsUnstable is the same by the name of the proposal, for clients that
	// look for its flag.
	ThreadNotificationsUnstable bool `json:"org.matrix.msc3773.unread_thread_notifications"`

	// ignored are users whose messages, but not their state events, are kept out.
	ignored []string
	// not are events that are kept out: they are damaged.
	not []EventNID
}

// The number of events in one answer, where the request does not say, and at most.
const (
	DefaultLimit = 10
	MaxLimit     = 1000
)

// maxPatterns bounds the event types with an asterisk in one filter, all of which are
// tried at every event.
const maxPatterns = 200

// Check refuses values that no filter can have, IDs among them that are none, and more
// patterns than anybody has use for: M_INVALID_PARAM.
func (f *EventFilter) Check() error {
	if f.Limit != nil && *f.Limit < 0 {
		return matrix.Errorf(matrix.InvalidParam, "limit must not be negative")
	}
	patterns := 0
	for _, types := range [][]string{f.NotTypes, listed(f.Types)} {
		if !isTexts(types) {
			return matrix.Errorf(matrix.InvalidParam, "a filter is UTF-8 without the character NUL")
		}
		patterns += countPatterns(types)
	}
	if patterns > maxPatterns {
		return matrix.Errorf(matrix.InvalidParam, "a filter has at most %d types with an asterisk", maxPatterns)
	}
	for _, senders := range [][]string{f.NotSenders, listed(f.Senders)} {
		for _, sender := range senders {
			if _, _, err := matrix.ParseUserID(sender); err != nil {
				return err
			}
		}
	}
	return f.checkRooms()
}

// Effective returns the filter; nil, which selects every event, if it has no effect.
func (f *EventFilter) Effective() *EventFilter {
	bare := *f
	for _, list := range []*[]string{&bare.NotTypes, &bare.NotSenders, &bare.NotRooms, &bare.ignored} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	if reflect.DeepEqual(bare, EventFilter{}) {
		return nil
	}
	return f
}

// checkRooms refuses room IDs that are none.
func (f *EventFilter) checkRooms() error {
	for _, list := range [][]string{f.NotRooms, listed(f.Rooms)} {
		for _, roomID := range list {
			if !matrix.IsRoomID(roomID) {
				return matrix.Errorf(matrix.InvalidParam, "the rooms of a filter are room IDs")
			}
		}
	}
	return nil
}

// listed returns a list that may be missing.
func listed(list *[]string) []string {
	if list == nil {
		return nil
	}
	return *list
}

// isEmpty reports whether there is a list, and nothing on it.
func isEmpty(list *[]string) bool { return list != nil && len(*list) == 0 }

func countPatterns(types []string) int {
	n := 0
	for _, t := range types {
		if strings.Contains(t, "*") {
			n++
		}
	}
	return n
}

func isTexts(list []string) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !matrix.IsText(s) })
}

// LimitOr returns the limit, within its bounds, or a default.
func (f *EventFilter) LimitOr(otherwise int) int {
	if f == nil || f.Limit == nil {
		return otherwise
	}
	return min(*f.Limit, MaxLimit)
}

// CountsThreads reports whether unread notifications are to be counted by threads.
func (f *EventFilter) CountsThreads() bool {
	return f != nil && (f.ThreadNotifications || f.ThreadNotificationsUnstable)
}

// WantsRoom reports whether events of the room may pass at all.
func (f *EventFilter) WantsRoom(roomID string) bool {
	return f == nil || !isEmpty(f.Types) && !isEmpty(f.Senders) &&
		(f.Rooms == nil || slices.Contains(*f.Rooms, roomID)) && !slices.Contains(f.NotRooms, roomID)
}

// WithoutMessagesOf returns the filter that also excludes events that some users sent,
// except for state events: client-server API, "Ignoring Users".
func (f *EventFilter) WithoutMessagesOf(users []string) *EventFilter {
	narrower := EventFilter{}
	if f != nil {
		narrower = *f
	}
	narrower.ignored = users
	return &narrower
}

// withoutEvents returns the filter that also excludes some events.
func (f *EventFilter) withoutEvents(not []EventNID) *EventFilter {
	narrower := EventFilter{}
	if f != nil {
		narrower = *f
	}
	narrower.not = slices.Concat(narrower.not, not)
	return &narrower
}

// MatchOther reports whether something that is no room event passes by its type
// and sender; "": it has none.
func (f *EventFilter) MatchOther(typ, sender string) bool {
	return f == nil || (f.Types == nil || matchesAny(*f.Types, typ)) && !matchesAny(f.NotTypes, typ) &&
		(f.Senders == nil || sender == "" || slices.Contains(*f.Senders, sender)) && !slices.Contains(f.NotSenders, sender)
}

// Match reports whether an event passes. It agrees with the SQL of where.
func (f *EventFilter) Match(e *Event) bool {
	if f == nil {
		return true
	}
	return (f.Types == nil || matchesAny(*f.Types, e.Type)) && !matchesAny(f.NotTypes, e.Type) &&
		(f.Senders == nil || slices.Contains(*f.Senders, e.Sender)) && !slices.Contains(f.NotSenders, e.Sender) &&
		(f.ContainsURL == nil || *f.ContainsURL == hasURL(e.Content())) &&
		(e.StateKey != nil || !slices.Contains(f.ignored, e.Sender))
}

// allowsAll reports whether every state event passes.
func (f *EventFilter) allowsAll() bool {
	return f == nil || f.Types == nil && len(f.NotTypes) == 0 && f.Senders == nil && len(f.NotSenders) == 0 && f.ContainsURL == nil
}

// appendMatching appends those of some events that pass.
func (f *EventFilter) appendMatching(dst, events []*Event) []*Event {
	for _, e := range events {
		if f.Match(e) {
			dst = append(dst, e)
		}
	}
	return dst
}

// hasURL reports whether a content has a key url, for contains_url.
func hasURL(content []byte) bool { return event.Field(content, "url") != nil }

func matchesAny(patterns []string, evType string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, evType) })
}

// matches compares with a pattern in which * stands for any text.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(text, first) || !strings.HasSuffix(text[len(first):], last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return true
}

// query gathers the arguments of a statement that is put together.
type query struct{ args []any }

func (q *query) arg(v any) string {
	q.args = append(q.args, v)
	return fmt.Sprintf("$%d", len(q.args))
}

// where returns the filter as conditions on events e, each beginning with AND.
func (f *EventFilter) where(q *query) string {
	if f == nil {
		return ""
	}
	var b strings.Builder
	and := func(format string, v any) { fmt.Fprintf(&b, " AND "+format, q.arg(v)) }
	if f.Types != nil {
		and("e.type LIKE ANY(%s::text[])", likes(*f.Types))
	}
	if len(f.NotTypes) > 0 {
		and("NOT e.type LIKE ANY(%s::text[])", likes(f.NotTypes))
	}
	if f.Senders != nil {
		and("e.sender = ANY(%s::text[])", *f.Senders)
	}
	if len(f.NotSenders) > 0 {
		and("NOT e.sender = ANY(%s::text[])", f.NotSenders)
	}
	if f.ContainsURL != nil {
		and("e.has_url = %s", *f.ContainsURL)
	}
	if len(f.ignored) > 0 {
		and("(e.state_key IS NOT NULL OR e.sender <> ALL(%s::text[]))", f.ignored)
	}
	if len(f.not) > 0 {
		and("e.event_nid <> ALL(%s::bigint[])", f.not)
	}
	return b.String()
}

var likeEscapes = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`)

func likes(patterns []string) []string {
	out := make([]string, len(patterns))
	for i, p := range patterns {
		out[i] = likeEscapes.Replace(p)
	}
	return out
}
