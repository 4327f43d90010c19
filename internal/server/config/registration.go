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
	v.terms(r.Terms)
	v.check(!r.RequireEmail || c.Email.Host != "", "registration.require_email", "needs email.host, by which addresses are proved")
}

// terms checks the documents that must be accepted.
func (v *validator) terms(all []Terms) {
	versions, seen := map[string]string{}, map[string]bool{}
	for i, t := range all {
		key := fmt.Sprintf("registration.terms[%d]", i)
		v.check(isProviderID(t.Document), key+".document", "must be letters, digits and . _ ~ -, such as privacy_policy")
		v.check(t.Version != "", key+".version", "must be that of the document, such as \"1.2\"")
		v.check(versions[t.Document] == "" || versions[t.Document] == t.Version, key+".version", "must be the same in all languages of a document")
		versions[t.Document] = t.Version
		v.check(isProviderID(t.Language) && t.Language != "version", key+".language", "must be the tag of a language, such as en")
		v.check(!seen[t.Document+" "+t.Language], key+".language", "is there twice")
		seen[t.Document+" "+t.Language] = true
		v.check(t.Name != "", key+".name", "must be what people read")
		v.check(isPageURL(t.URL), key+".url", "must be an http or https URL")
	}
}
