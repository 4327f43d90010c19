package registration

import (
	"errors"
	"fmt"
	"slices"
)

// maxServices is more than anybody runs beside one server.
const maxServices = 1000

// Load reads all files. The error has a line for each mistake in any of them, and between
// them.
func Load(paths []string, serverName string) (List, error) {
	if len(paths) > maxServices {
		return nil, fmt.Errorf("app_service_files: at most %d application services can be registered", maxServices)
	}
	var all List
	var problems []error
	for _, path := range paths {
		one, err := Read(path, serverName)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		for _, other := range all {
			problems = append(problems, one.conflicts(other)...)
		}
		all = append(all, one)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return all, nil
}

// conflicts returns why this service can't be beside another.
func (r *Registration) conflicts(other *Registration) (problems []error) {
	report := func(key, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		problems = append(problems, fmt.Errorf("%s:%d: %s: %s in %s", r.file, r.lines[key], key, text, other.file))
	}
	if r.ID == other.ID {
		report("id", "is that of the service")
	}
	if r.ASToken == other.ASToken {
		report("as_token", "is that of the service")
	}
	if r.Sender == other.Sender {
		report("sender_localpart", "is that of the service")
	} else if other.OwnsUserAlone(r.Sender) {
		report("sender_localpart", "is in an exclusive namespace of the service")
	} else if r.OwnsUserAlone(other.Sender) {
		report("namespaces", "an exclusive one has the sender of the service")
	}
	for _, kind := range []struct {
		name       string
		own, their Namespaces
	}{{"users", r.Users, other.Users}, {"aliases", r.Aliases, other.Aliases}, {"rooms", r.Rooms, other.Rooms}} {
		for _, n := range kind.own {
			if n.Exclusive && slices.ContainsFunc(kind.their, func(o Namespace) bool { return o.Exclusive && o.Regex == n.Regex }) {
				report("namespaces", "%s %q is exclusive to the service", kind.name, n.Regex)
			}
		}
	}
	return problems
}
