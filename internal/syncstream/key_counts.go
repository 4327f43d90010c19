package syncstream

import "context"

// fillKeyCounts looks up which one-time and fallback keys of the device are left, which every
// answer says.
func (s *Service) fillKeyCounts(ctx context.Context, p *plan) (err error) {
	p.keyCounts, err = s.Keys.Counts(ctx, p.userID, p.deviceID)
	return err
}

// keyCountsChanged reports whether other keys are left than when the request came.
func (p *plan) keyCountsChanged() bool {
	return p.keyCountsBefore != nil && !p.keyCounts.Equal(p.keyCountsBefore)
}
