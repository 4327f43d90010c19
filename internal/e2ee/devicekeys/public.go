package devicekeys

import (
	"context"
	"slices"

	"homeserver/internal/auth/account"
	"homeserver/internal/cache"
	"homeserver/internal/reserve"
)

// publicKeys are the keys of a user as everybody is shown them. All that changes one of them is
// announced as a change of the user's device list, upon which they are forgotten.
type publicKeys struct {
	devices              []*shownDevice
	masters, selfSigning []*shownKey // one at most
}

// cost is about how much memory the keys take, once as they are and once as they are written.
func (p *publicKeys) cost() (bytes int) {
	for _, d := range p.devices {
		bytes += d.cost()
	}
	for _, k := range p.masters {
		bytes += k.cost()
	}
	for _, k := range p.selfSigning {
		bytes += k.cost()
	}
	return bytes
}

func weighPublicKeys(userID string, p *publicKeys) int {
	const ofDevice, ofKey, round = 8 + 64, 8 + 80, 8
	bytes := cache.Text(userID)
	if p == nil {
		return bytes
	}
	const fixed = 80
	bytes += fixed
	for _, d := range p.devices {
		bytes += ofDevice + cache.Text(d.UserID, d.DeviceID) + cap(d.json) + cap(d.json)/round
	}
	for _, k := range slices.Concat(p.masters, p.selfSigning) {
		bytes += ofKey + cache.Text(k.UserID, k.PublicKey) + cap(k.json) + cap(k.json)/round
	}
	return bytes
}

// findPublic finds the keys that everybody is shown of users of this server: in memory, and
// else by four statements for all whose keys are not there, or are too much to be held beside
// each other.
func (s *Service) findPublic(ctx context.Context, a *QueryAnswer, users []string) error {
	known, err := s.knownKeys(ctx, users)
	if err != nil {
		return err
	}
	a.devices, a.masters, a.selfSigning = &byUser[*shownDevice]{}, &byUser[*shownKey]{}, &byUser[*shownKey]{}
	if len(known) < len(users) {
		missing := slices.DeleteFunc(slices.Clone(users), func(userID string) bool { return known[userID] != nil })
		if err := s.readPublic(ctx, a, missing); err != nil {
			return err
		}
	}
	for userID, keys := range known {
		a.users = append(a.users, userID)
		a.devices.add(userID, keys.devices)
		a.masters.add(userID, keys.masters)
		a.selfSigning.add(userID, keys.selfSigning)
	}
	slices.Sort(a.users)
	return nil
}

// knownKeys returns the keys of users that are in memory, as many as one read may bring. They
// count as if they had been read, since they may be dropped there while they are written.
func (s *Service) knownKeys(ctx context.Context, users []string) (known map[string]*publicKeys, err error) {
	most := reserve.Bytes(ctx)
	err = reserve.Read(ctx, func(c *reserve.Counter) error {
		known = make(map[string]*publicKeys, len(users))
		left := most
		for _, userID := range users {
			keys := s.public.Known(userID)
			if keys == nil || left <= 0 {
				continue
			}
			cost := keys.cost()
			if err := c.Add(cost); err != nil {
				return err
			}
			known[userID], left = keys, left-int64(cost)
		}
		return nil
	})
	return known, err //nolint:wrapcheck // it becomes the answer
}

// readPublic reads the keys of users, as far as there are such users, and remembers them if they
// are few enough to be read at once.
func (s *Service) readPublic(ctx context.Context, a *QueryAnswer, users []string) (err error) {
	if a.users, err = account.Existing(ctx, s.pool, users); err != nil || len(a.users) == 0 {
		return err
	}
	slices.Sort(a.users)
	places := make([]cache.Place[string, publicKeys], len(a.users))
	for i, userID := range a.users {
		places[i] = s.public.Place(userID)
	}
	if a.devices, err = s.readDevices(ctx, a.users); err != nil {
		return err
	}
	if a.masters, err = s.readSigningKeys(ctx, a.users, Master); err != nil {
		return err
	}
	if a.selfSigning, err = s.readSigningKeys(ctx, a.users, SelfSigning); err != nil {
		return err
	}
	if a.devices.parts != nil || a.masters.parts != nil || a.selfSigning.parts != nil {
		return nil
	}
	for i, userID := range a.users {
		places[i].Store(&publicKeys{a.devices.held[userID], a.masters.held[userID], a.selfSigning.held[userID]})
	}
	return nil
}
