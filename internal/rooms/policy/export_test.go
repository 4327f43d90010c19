package policy

// Reset has the rules loaded again, as where the journal has moved by entries that are not
// known here.
func Reset(s *Service) { s.reset(0) }
