package server

import (
	"context"
	"errors"
	"maps"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/auth"
	"homeserver/internal/cache"
	"homeserver/internal/doctor"
)

// A part is one capability of the server. The server does everything with its parts in
// loops over all of them, by these methods; a part has those of them that it needs.
type (
	// starter begins its background work. The context is for the start alone: the work goes on until Stop.
	starter interface{ Start(ctx context.Context) }
	// fallibleStarter is a starter without which the server cannot run.
	fallibleStarter interface {
		Start(ctx context.Context) error
	}
	// releaser answers the requests that wait, and makes later ones not wait. It is
	// called when the server stops.
	releaser interface{ Release() }
	// stopper ends its background work and returns when that is over. No request is served any more.
	stopper interface{ Stop() }
	// fallibleStopper is a stopper that leaves something undone where the context ends first.
	fallibleStopper interface {
		Stop(ctx context.Context) error
	}
	// eraser deletes its data of a user whose account is erased. It may be called
	// again.
	eraser interface {
		Erase(ctx context.Context, userID string) error
	}
	// checked has checks of its tables, for the operator's doctor.
	checked interface{ Checks() []doctor.Check }
	// measured has metrics.
	measured interface{ Collectors() []prometheus.Collector }
	// caching has caches, under names that no other part has.
	caching interface{ Caches() cache.Caches }
)

// parts are what a server consists of, in the order in which they start. Those of the server that stop last come
// first.
type parts []any

// start starts all parts. Where one fails, those before it are stopped.
func (all parts) start(ctx context.Context) error {
	for i, p := range all {
		switch p := p.(type) {
		case starter:
			p.Start(ctx)
		case fallibleStarter:
			if err := p.Start(ctx); err != nil {
				return errors.Join(err, all[:i].stop(context.WithoutCancel(ctx)))
			}
		}
	}
	return nil
}

// release answers the requests that wait.
func (all parts) release() {
	for _, p := range all {
		if p, ok := p.(releaser); ok {
			p.Release()
		}
	}
}

// stop stops all parts, the last one first.
func (all parts) stop(ctx context.Context) error {
	var errs []error
	for i := len(all) - 1; i >= 0; i-- {
		switch p := all[i].(type) {
		case stopper:
			p.Stop()
		case fallibleStopper:
			errs = append(errs, p.Stop(ctx))
		}
	}
	return errors.Join(errs...)
}

// eraseWith has the parts forget users whose accounts are erased.
func (all parts) eraseWith(accounts *auth.Service) {
	for _, p := range all {
		if p, ok := p.(eraser); ok {
			accounts.OnErase(p.Erase)
		}
	}
}

func (all parts) checks() (list []doctor.Check) {
	for _, p := range all {
		if p, ok := p.(checked); ok {
			list = append(list, p.Checks()...)
		}
	}
	return list
}

func (all parts) collectors() (list []prometheus.Collector) {
	for _, p := range all {
		if p, ok := p.(measured); ok {
			list = append(list, p.Collectors()...)
		}
	}
	return list
}

func (all parts) caches() cache.Caches {
	list := cache.Caches{}
	for _, p := range all {
		if p, ok := p.(caching); ok {
			maps.Copy(list, p.Caches())
		}
	}
	return list
}
