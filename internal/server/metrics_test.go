package server

import (
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/server/buildinfo"
)

// gathered returns the value of every counter and gauge of ours, by name and labels.
func gathered(t *testing.T, s *Server) map[string]float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}

func TestMetricsTellOfTheDatabaseAndOfCaches(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Database.MaxConnections = 7
	s := mustStart(t, cfg)
	alice := clientAt(t, s, 0).Register("alice", "wordpass")
	before := gathered(t, s)
	for range 3 {
		alice.Do(http.MethodGet, "/account/whoami", nil).OK()
	}
	room := alice.CreateRoom(nil)
	alice.SendText(room, "hello")
	top := alice.As(t)
	top.Prefix = "/_matrix/media/v3"
	top.Do(http.MethodPost, "/upload", strings.Repeat("x", 5000)).OK()
	after := gathered(t, s)

	grown := map[string]float64{}
	for _, name := range []string{
		"homeserver_cache_entries access_tokens", "homeserver_cache_misses_total access_tokens",
		"homeserver_cache_entries rooms", "homeserver_cache_hits_total rooms",
		"homeserver_media_received_bytes_total",
	} {
		grown[name] = after[name] - before[name]
	}
	want := map[string]float64{
		"homeserver_cache_entries access_tokens": 1, "homeserver_cache_misses_total access_tokens": 1,
		"homeserver_cache_entries rooms": 1, "homeserver_cache_hits_total rooms": 1,
		"homeserver_media_received_bytes_total": 5000,
	}
	if diff := cmp.Diff(want, grown); diff != "" {
		t.Errorf("grown (-want +got):\n%s", diff)
	}
	if hits := after["homeserver_cache_hits_total access_tokens"]; hits < 4 {
		t.Errorf("the cache of tokens was hit %v times", hits)
	}
	if got := after["homeserver_database_connections_max"]; got != 7 {
		t.Errorf("%v connections at most", got)
	}
	if after["homeserver_database_acquires_total"] <= before["homeserver_database_acquires_total"] {
		t.Error("no connection was taken")
	}
	for _, state := range []string{"in_use", "idle", "connecting"} {
		if _, ok := after["homeserver_database_connections "+state]; !ok {
			t.Errorf("there is no metric of connections %s", state)
		}
	}
	for _, cache := range []string{
		"access", "access_tokens", "familiar_addresses", "filters", "sightings", "ignored_users", "invite_permissions", "members", "push_names", "push_rooms", "push_rules", "read_marks",
		"push_budgets", "push_names", "presence", "recent_rooms", "room_state", "rooms", "transactions", "typing", "unread_counts", "viewers",
	} {
		if _, ok := after["homeserver_cache_entries "+cache]; !ok {
			t.Errorf("there is no metric of the cache %s", cache)
		}
	}
}

func TestMetricsTellWhatTheServerHas(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Media.Folder = t.TempDir()
	s := mustStart(t, cfg)
	alice := clientAt(t, s, 0).Register("alice", "wordpass")
	clientAt(t, s, 0).Register("bob", "wordpass")
	alice.CreateRoom(nil)
	top := alice.As(t)
	top.Prefix = "/_matrix/media/v3"
	for range 2 { // the same file, which is kept once
		top.Do(http.MethodPost, "/upload", strings.Repeat("x", 5000)).OK()
	}
	first := gathered(t, s)
	alice.CreateRoom(nil)
	second := gathered(t, s)
	for name, want := range map[string]float64{
		"homeserver_accounts user": 2, "homeserver_accounts guest": 0, "homeserver_accounts deactivated": 0,
		"homeserver_rooms": 1, "homeserver_media_stored_bytes": 5000,
	} {
		if first[name] != want || second[name] != want {
			t.Errorf("%s is %v and, moments later, %v, want %v, counted once", name, first[name], second[name], want)
		}
	}
	if first["homeserver_build_info "+runtime.Version()+" "+buildinfo.Version()] != 1 {
		t.Error("there is no metric of the version that runs")
	}
	for _, folder := range []string{"data_dir", "media.folder"} {
		if first["homeserver_disk_free_bytes "+folder] <= 0 {
			t.Errorf("nothing is free in %s", folder)
		}
	}
}
