package devkit

import "testing"

func TestAddressOfTheDatabaseKeepsEverythingElse(t *testing.T) {
	t.Parallel()
	d := &Database{name: "homeserver_dev_x"}
	for given, want := range map[string]string{
		"postgres://me:pw@host:5433/mine?sslmode=disable": "postgres://me:pw@host:5433/homeserver_dev_x?sslmode=disable&synchronous_commit=off",
		"postgresql:///mine?host=/run&dbname=other":       "postgresql:///homeserver_dev_x?host=%2Frun&synchronous_commit=off",
		"host=/run dbname=mine":                           "host=/run dbname=mine dbname=homeserver_dev_x synchronous_commit=off",
	} {
		if got, err := d.url(given); err != nil || got != want {
			t.Errorf("%s: got %s, %v", given, got, err)
		}
	}
}
