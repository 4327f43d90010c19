package oauth

import (
	"errors"
	"fmt"
	"net/http"

	"homeserver/internal/matrix"
)

// The error codes of RFC 6749, 7591 and of OpenID Connect.
const (
	errInvalidRequest         = "invalid_request"
	errInvalidClient          = "invalid_client"
	errInvalidGrant           = "invalid_grant"
	errInvalidScope           = "invalid_scope"
	errUnauthorizedClient     = "unauthorized_client"
	errUnsupportedGrantType   = "unsupported_grant_type"
	errUnsupportedResponse    = "unsupported_response_type"
	errAccessDenied           = "access_denied"
	errLoginRequired          = "login_required"
	errConsentRequired        = "consent_required"
	errInvalidRedirectURI     = "invalid_redirect_uri"
	errInvalidClientMetadata  = "invalid_client_metadata"
	maxErrorDescription       = 200
	errorField, describeField = "error", "error_description"
)

// refuse returns an error in the form of OAuth: RFC 6749, section 5.2. It has no errcode of
// Matrix.
func refuse(code, format string, args ...any) *matrix.Error {
	text := fmt.Sprintf(format, args...)
	return &matrix.Error{
		Message: text, Status: http.StatusBadRequest,
		Fields: map[string]any{errorField: code, describeField: text[:min(len(text), maxErrorDescription)]},
	}
}

// codeOf returns the code of an error that refuse has made.
func codeOf(err *matrix.Error) string {
	code, _ := err.Fields[errorField].(string)
	return code
}

// BadMetadata returns the error for the metadata of a client that are not JSON, or have a wrong
// type. RFC 7591, section 3.2.2.
func BadMetadata(err error) error { return asOAuth(errInvalidClientMetadata, err) }

// BadForm returns the error for a body that is no form.
func BadForm(err error) error { return asOAuth(errInvalidRequest, err) }

// asOAuth returns a refusal in the form of OAuth.
func asOAuth(code string, err error) error {
	if refusal, ok := errors.AsType[*matrix.Error](err); ok && refusal.HTTPStatus() == http.StatusBadRequest {
		return refuse(code, "%s", refusal.Message)
	}
	return err
}
