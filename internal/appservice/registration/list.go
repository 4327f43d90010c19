package registration

import "homeserver/internal/matrix"

// List is all application services of a server, in the order of the configuration.
type List []*Registration

// CheckUser returns whether a user may be made: M_EXCLUSIVE for users of an application service
// that does not ask itself, and for users whom the asking one has no namespace for. service is the
// ID of the service that asks; "" means anybody else. Application Service API, "Server admin style
// permissions".
func (l List) CheckUser(service, userID string) error {
	return l.check(service, "user ID", func(r *Registration) (owned, alone bool) {
		return r.OwnsUser(userID), r.OwnsUserAlone(userID)
	})
}

// CheckAlias does the same for a room alias that is to be made or deleted.
func (l List) CheckAlias(service, alias string) error {
	return l.check(service, "room alias", func(r *Registration) (owned, alone bool) {
		return r.OwnsAlias(alias), r.OwnsAliasAlone(alias)
	})
}

func (l List) check(service, what string, of func(*Registration) (owned, alone bool)) error {
	for _, r := range l {
		owned, alone := of(r)
		if r.ID == service && !owned {
			return matrix.Errorf(matrix.Exclusive, "this %s is not in the namespaces of the application service", what)
		}
		if r.ID != service && alone {
			return matrix.Errorf(matrix.Exclusive, "this %s is reserved by an application service", what)
		}
	}
	return nil
}
