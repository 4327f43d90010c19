package event

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestVersions(t *testing.T) {
	t.Parallel()
	want := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}
	if got := Versions(); !slices.Equal(got, want) {
		t.Fatalf("Versions() = %v", got)
	}
	Versions()[0] = "changed"
	if Versions()[0] != "1" {
		t.Error("the list can be changed from outside")
	}
	for _, id := range want {
		v, ok := LookupVersion(id)
		if !ok || v.ID != id || !v.Stable || v.redaction == nil {
			t.Errorf("version %s is %+v", id, v)
		}
	}
	for _, id := range []string{"", "0", "13", "01", "1 ", "org.example.v1", "latest"} {
		if _, ok := LookupVersion(id); ok {
			t.Errorf("version %q is known", id)
		}
	}
}

// The whole table, for each version.
func TestVersionTable(t *testing.T) {
	t.Parallel()
	v1 := Version{AliasesRule: true, RedactionRule: true}
	v3 := Version{EventIDs: HashEventID, AliasesRule: true}
	v4 := Version{EventIDs: URLSafeHashEventID, AliasesRule: true}
	v6 := Version{EventIDs: URLSafeHashEventID, StrictJSON: true, NotificationLevels: true}
	v7 := v6
	v7.Knock = true
	v8 := v7
	v8.Restricted = true
	v10 := v8
	v10.KnockRestricted, v10.IntegerPowerLevels = true, true
	v11 := v10
	v11.SenderIsCreator, v11.RedactsInContent = true, true
	v12 := v11
	v12.PrivilegedCreators, v12.HashRoomID = true, true
	for i, want := range []Version{v1, v1, v3, v4, v4, v6, v7, v8, v8, v10, v11, v12} {
		id := Versions()[i]
		want.ID, want.Stable = id, true
		got := mustVersion(t, id)
		if diff := cmp.Diff(&want, got, cmpopts.IgnoreUnexported(Version{})); diff != "" {
			t.Errorf("version %s: %s", id, diff)
		}
	}
}
