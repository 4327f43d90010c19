package config

import (
	"fmt"
	"regexp"

	"homeserver/internal/matrix"
)

// registration checks what is asked of those who register.
func (v *validator) registration(c *Config) {
	r := c.Registration
	_, err := regexp.Compile("^(?:" + r.UsernamePattern + ")$")
	v.check(err == nil, "registration.username_pattern", "must be a regular expression, such as [a-z]+\\.[a-z]+")
	for i, name := range r.ReservedNames {
		v.check(matrix.IsUserLocalpart(name), fmt.Sprintf("registration.reserved_names[%d]", i), "must be a user name, such as admin")
	}
	v.check(!r.RequireEmail || c.Email.Host != "", "registration.require_email", "needs email.host, by which addresses are proved")
}
