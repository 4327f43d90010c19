package server

import (
	"os"
	"slices"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/server/config"
)

// For the commands of the operator.
type (
	// AppService is an application service as its file describes it.
	AppService = registration.Registration
	// AppServiceDraft is what an operator says of a new one.
	AppServiceDraft = registration.Draft
	// Namespaces are those of an application service.
	Namespaces = registration.Namespaces
)

// CheckAppService reads a registration file, alone and beside those that are configured, and
// reports whether it is one of them. The error has a line for each mistake.
func CheckAppService(cfg *config.Config, path string) (r *AppService, listed bool, err error) {
	others := slices.DeleteFunc(slices.Clone(cfg.AppServiceFiles), func(other string) bool { return sameFile(path, other) })
	all, err := registration.Load(append(others, path), cfg.ServerName)
	if err != nil {
		return nil, false, err
	}
	return all[len(all)-1], len(others) < len(cfg.AppServiceFiles), nil
}

// sameFile reports whether two paths lead to the same file, which need not exist.
func sameFile(one, other string) bool {
	a, errA := os.Stat(one)
	b, errB := os.Stat(other)
	return errA == nil && errB == nil && os.SameFile(a, b)
}
