package auth

import (
	"regexp"
	"slices"

	"homeserver/internal/auth/uia"
	"homeserver/internal/matrix"
)

// RegistrationPolicy is what the operator asks of those who register.
type RegistrationPolicy struct {
	// Stages are completed by everybody, in this order, before the stages that they may choose from.
	Stages []string
	// NeedEmail says that an e-mail address must be proved.
	NeedEmail bool
	// Names, if set, matches the local parts that may be chosen.
	Names *regexp.Regexp
	// Reserved are local parts that nobody gets by registration.
	Reserved []string
}

// registrationFlows returns the flows of POST /register, by the policy. Stages that people may choose from follow those
// that everybody completes, of which one suffices in place of m.login.dummy.
func (s *Service) registrationFlows() [][]string {
	must := s.o.Policy.Stages
	if s.o.Policy.NeedEmail {
		return [][]string{append(slices.Clone(must), uia.StageEmail)}
	}
	var flows [][]string
	for _, alone := range s.o.Stages.Alone(uia.Register) {
		if len(must) > 0 && slices.Equal(alone, []string{uia.StageDummy}) {
			alone = nil
		}
		flows = append(flows, slices.Concat(must, alone))
	}
	return flows
}

// checkName checks a name that was chosen by the policy. M_INVALID_USERNAME.
func (p RegistrationPolicy) checkName(localpart string) error {
	if slices.Contains(p.Reserved, localpart) {
		return matrix.Errorf(matrix.InvalidUsername, "This user name is reserved")
	}
	if p.Names != nil && !p.Names.MatchString(localpart) {
		return matrix.Errorf(matrix.InvalidUsername, "User names on this server must match %s", p.Names)
	}
	return nil
}
