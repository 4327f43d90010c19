package sso

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrix"
)

// DirectoryOptions is an LDAP directory whose people may log in by the password that they have there.
type DirectoryOptions struct {
	// URL is that of the directory: ldaps://host, or ldap://host; StartTLS protects the latter.
	URL      string
	StartTLS bool
	// TLS says which certificates are trusted; nil: those of the system.
	TLS *tls.Config
	// BindDN and BindPassword are of the entry as which people are looked for; "": of nobody.
	BindDN, BindPassword string
	// BaseDN is below which people are, and Filter finds one of them: {name} stands for the name that was typed.
	BaseDN, Filter string
	// ID is the attribute that never changes and is never given to anybody else.
	ID string
	// UserName and DisplayName are templates, in which {attribute} stands for an attribute: as of a provider.
	UserName, DisplayName string
	// Registration makes accounts for people who have none here.
	Registration bool
}

// directoryID names the directory among the providers of identities. A provider's ID has no space.
const directoryID = "ldap directory"

const (
	directoryTimeout = 5 * time.Second
	// maxDirectoryConnections bounds how many passwords are checked at once.
	maxDirectoryConnections = 16
)

// directory is an LDAP directory.
type directory struct {
	DirectoryOptions
	// free has a place for each connection that may be made.
	free chan struct{}
}

func newDirectory(o DirectoryOptions) *directory {
	return &directory{o, make(chan struct{}, maxDirectoryConnections)}
}

// entry is a person in the directory.
type entry struct{ id, userName, displayName string }

// errWrongPassword is a name or a password that the directory does not know.
var errWrongPassword = errors.New("the directory does not know this name and password")

// check checks a name and a password: errWrongPassword if they are not right.
func (d *directory) check(ctx context.Context, name, password string) (entry, error) {
	if password == "" { // a bind without a password always succeeds: RFC 4513, section 5.1.2
		return entry{}, errWrongPassword
	}
	select {
	case d.free <- struct{}{}:
		defer func() { <-d.free }()
	case <-ctx.Done():
		return entry{}, ctx.Err()
	}
	connection, err := d.connect(ctx)
	if err != nil {
		return entry{}, err
	}
	defer func() { _ = connection.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	defer stop()
	found, err := d.find(connection, name)
	if err != nil {
		return entry{}, err
	}
	if err := connection.Bind(found.DN, password); err != nil {
		if ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultConstraintViolation) {
			return entry{}, errWrongPassword
		}
		return entry{}, fmt.Errorf("check a password at the directory: %w", err)
	}
	return d.read(found)
}

// connect opens a connection and binds it as the one who may look for people.
func (d *directory) connect(ctx context.Context) (*ldap.Conn, error) {
	dialer := &net.Dialer{Timeout: directoryTimeout}
	if deadline, ok := ctx.Deadline(); ok {
		dialer.Deadline = deadline
	}
	connection, err := ldap.DialURL(d.URL, ldap.DialWithDialer(dialer), ldap.DialWithTLSConfig(d.TLS))
	if err != nil {
		return nil, fmt.Errorf("connect to the directory: %w", err)
	}
	connection.SetTimeout(directoryTimeout)
	if d.StartTLS {
		if err := connection.StartTLS(d.TLS); err != nil {
			_ = connection.Close()
			return nil, fmt.Errorf("protect the connection to the directory: %w", err)
		}
	}
	if d.BindDN != "" {
		if err := connection.Bind(d.BindDN, d.BindPassword); err != nil {
			_ = connection.Close()
			return nil, fmt.Errorf("log in to the directory as %s: %w", d.BindDN, err)
		}
	}
	return connection, nil
}

// find finds the one entry of a name; errWrongPassword if there is none, or several.
func (d *directory) find(connection *ldap.Conn, name string) (*ldap.Entry, error) {
	filter := strings.ReplaceAll(d.Filter, "{name}", ldap.EscapeFilter(name))
	attributes := []string{d.ID}
	for _, template := range []string{d.UserName, d.DisplayName} {
		for _, found := range claim.FindAllStringSubmatch(template, -1) {
			attributes = append(attributes, found[1])
		}
	}
	const most = 2 // one, and one too many
	search := ldap.NewSearchRequest(d.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, most, int(directoryTimeout.Seconds()), false, filter, attributes, nil)
	result, err := connection.Search(search)
	if err != nil && !ldap.IsErrorAnyOf(err, ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultNoSuchObject) {
		return nil, fmt.Errorf("look for a person in the directory: %w", err)
	}
	if result == nil || len(result.Entries) != 1 {
		return nil, errWrongPassword
	}
	return result.Entries[0], nil
}

// read reads an entry. An ID that is no text, as those of Active Directory, is written in hexadecimal digits.
func (d *directory) read(found *ldap.Entry) (entry, error) {
	id := found.GetEqualFoldRawAttributeValue(d.ID)
	if len(id) == 0 || len(id) > maxSubjectBytes {
		return entry{}, fmt.Errorf("read %s of the directory: it has no %s", found.DN, d.ID)
	}
	person := entry{id: string(id)}
	if !utf8.Valid(id) || strings.ContainsRune(person.id, 0) {
		person.id = hex.EncodeToString(id)
	}
	values := map[string]any{}
	for _, attribute := range found.Attributes {
		if len(attribute.Values) > 0 && utf8.ValidString(attribute.Values[0]) {
			values[attribute.Name] = attribute.Values[0]
		}
	}
	person.userName, person.displayName = localpart(fill(d.UserName, values)), fill(d.DisplayName, values)
	return person, nil
}

// CheckDirectory checks the name and the password of a person at the directory, and returns the account of that
// person, which it makes where that is allowed and the name is free; "": the name or the password is wrong, or the
// person has no account here. An account of the same name that belongs to somebody else is not the person's. An
// error with the status 503 where the directory cannot be asked.
func (s *Service) CheckDirectory(ctx context.Context, name, password string) (userID string, err error) {
	found, err := s.directory.check(ctx, name, password)
	if errors.Is(err, errWrongPassword) {
		return "", nil
	}
	if err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		s.o.Log.ErrorContext(ctx, "a password could not be checked", "error", err)
		refusal := matrix.Errorf(matrix.Unknown, "The directory of users cannot be asked at the moment")
		refusal.Status = 503
		return "", refusal
	}
	of := identity{directoryID, found.id}
	if userID, err = findUser(ctx, s.o.Pool, of); err != nil || userID != "" || !s.directory.Registration || found.userName == "" {
		return userID, err
	}
	return s.registerEntry(ctx, of, found)
}

// registerEntry makes the account of a person in the directory; "" where the name cannot be had, which the log
// says.
func (s *Service) registerEntry(ctx context.Context, of identity, found entry) (string, error) {
	userID, err := s.o.Accounts.RegisterElsewhere(ctx, found.userName, func(tx pgx.Tx, userID string) error {
		return s.bind(ctx, tx, of, userID)
	})
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		// Another request may have made it at the same time.
		if known, err := findUser(ctx, s.o.Pool, of); err != nil || known != "" {
			return known, err
		}
		s.o.Log.WarnContext(ctx, "a person of the directory gets no account", "name", found.userName, "error", refusal)
		return "", nil
	}
	if err != nil {
		return "", err
	}
	s.nameNewUser(ctx, userID, found.displayName)
	return userID, nil
}

// IsOfDirectory reports whether the directory has the password of a user.
func (s *Service) IsOfDirectory(ctx context.Context, userID string) (bool, error) {
	return hasIdentity(ctx, s.o.Pool, userID, []string{directoryID})
}
