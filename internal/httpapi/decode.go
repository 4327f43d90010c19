package httpapi

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"net/url"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
)

// Decode puts the request's JSON object into the value that into points to.
// No body at all counts as {}. Names must match exactly, since to Matrix
// "Username" is not "username" (the standard library's first JSON package can't
// do that); unknown ones are ignored; null counts as not being there. An integer is
// one however it is written: 1000, 1000.0 or 1e3.
//
// M_NOT_JSON if it isn't JSON in UTF-8 or something follows it; M_BAD_JSON if it
// isn't an object, has a name twice, or a field has the wrong type, and then the
// message names the field; M_TOO_LARGE if it has more than [event.MaxValues] values, or more than
// may be in a [LargeBody].
// Strings may not hold a NUL; inside raw JSON they may.
func (r *Request) Decode(into any) error { return r.decode(into) }

// DecodeStrictly is Decode for endpoints that are not the specification's: M_BAD_JSON also for a
// name that is not known, which the message has.
func (r *Request) DecodeStrictly(into any) error {
	return r.decode(into, json.RejectUnknownMembers(true))
}

func (r *Request) decode(into any, options ...json.Options) error {
	body := r.RawJSON()
	if len(body) == 0 {
		body = []byte("{}")
	}
	if err := r.checkValues(body); err != nil {
		return err
	}
	if err := r.reserveDecoded(body); err != nil {
		return err
	}
	err := unmarshal(body, into, options)
	if wrongType, ok := errors.AsType[*json.SemanticError](err); ok && wrongType.JSONKind == '0' && jsonName(wrongType.GoType) == wholeNumber {
		// Perhaps an integer in another form than the one that is read.
		if canonical, failed := event.CanonicalOfAnySize(body); failed == nil {
			err = unmarshal(canonical, into, options)
		}
	}
	if err == nil && jsontext.Value(body).Kind() == '{' {
		return nil
	}
	return decodeError(body, err)
}

// RawBody returns the body as it was sent.
func (r *Request) RawBody() []byte { return r.x.body }

// RawJSON returns the body of a request without white space and a byte order mark in
// front: some editors and languages write the mark, and by RFC 8259 readers may skip it.
func (r *Request) RawJSON() []byte {
	body := bytes.TrimPrefix(r.x.body, []byte("\ufeff"))
	return bytes.TrimLeft(body, " \t\r\n")
}

func unmarshal(body []byte, into any, options []json.Options) error {
	if bytes.Contains(body, []byte(`\u0000`)) {
		options = append(options, noNULs)
	}
	return json.Unmarshal(body, into, options...)
}

// RawObject returns the request's JSON object as a whole, for objects that are stored
// as they are, in canonical form except for its numbers, whose range depends on the
// use. M_NOT_JSON if there is no body; M_BAD_JSON if it is JSON, but no object; else
// the errors of [event.Canonical], M_TOO_LARGE among them.
func (r *Request) RawObject() (stdjson.RawMessage, error) {
	body := r.RawJSON()
	if len(body) == 0 || body[0] != '{' {
		return nil, decodeError(body, nil)
	}
	if err := r.checkValues(body); err != nil {
		return nil, err
	}
	return event.Canonical(body, false)
}

// checkValues refuses a body with so many values that it would take up far more memory
// than its bytes: M_TOO_LARGE, or M_NOT_JSON if it only looks like that.
func (r *Request) checkValues(body []byte) error {
	most := event.MaxValues
	if r.x.large() {
		most = largeBodyValues
	}
	switch {
	case !event.HasMoreValues(body, most):
		return nil
	case !jsontext.Value(body).IsValid(jsontext.AllowDuplicateNames(true)): // which need not be remembered then
		return matrix.Errorf(matrix.NotJSON, "the body is not valid JSON in UTF-8")
	default:
		return matrix.Errorf(matrix.TooLarge, "the body has more than %d values", most)
	}
}

// reserveDecoded counts the decoded values of a large body as read by its sender: they
// are as large once more. Errors of [reserve.Read].
func (r *Request) reserveDecoded(body []byte) error {
	if !r.x.large() || int64(len(body)) <= r.x.engine.maxBodyBytes {
		return nil
	}
	return reserve.Read(r.Context(), func(c *reserve.Counter) error { return c.Add(len(body)) })
}

// DecodeForm returns the body as the form that browsers send. M_INVALID_PARAM.
func (r *Request) DecodeForm() (url.Values, error) {
	form, err := url.ParseQuery(string(r.x.body))
	if err != nil {
		return nil, matrix.Errorf(matrix.InvalidParam, "the form was not sent as browsers send forms")
	}
	for _, values := range form {
		for _, value := range values {
			if !isText(value) {
				return nil, matrix.Errorf(matrix.InvalidParam, "a field of the form is not valid UTF-8 text")
			}
		}
	}
	return form, nil
}

var errNUL = errors.New("NUL character")

// noNULs refuses the one character of Unicode that PostgreSQL's text can't hold.
var noNULs = json.WithUnmarshalers(json.UnmarshalFromFunc(func(dec *jsontext.Decoder, s *string) error {
	if dec.PeekKind() != '"' {
		return errors.ErrUnsupported
	}
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	*s = token.String()
	if !isText(*s) {
		return errNUL
	}
	return nil
}))

// decodeError returns the error for an invalid body in the client's terms.
func decodeError(body []byte, err error) error {
	if wrongName, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return matrix.Errorf(matrix.BadJSON, "%s is there twice", field(wrongName.JSONPointer))
		}
		return matrix.Errorf(matrix.NotJSON, "the body is not valid JSON in UTF-8, at byte %d", wrongName.ByteOffset)
	}
	if !jsontext.Value(body).IsValid(jsontext.AllowDuplicateNames(true)) {
		return matrix.Errorf(matrix.NotJSON, "the body is not valid JSON in UTF-8")
	}
	if jsontext.Value(body).Kind() != '{' {
		return matrix.Errorf(matrix.BadJSON, "the body must be a JSON object")
	}
	if wrongType, ok := errors.AsType[*json.SemanticError](err); ok {
		if errors.Is(err, json.ErrUnknownName) {
			return matrix.Errorf(matrix.BadJSON, "%s is not known here", field(wrongType.JSONPointer))
		}
		if errors.Is(err, errNUL) {
			return matrix.Errorf(matrix.BadJSON, "%s must not hold a NUL character", field(wrongType.JSONPointer))
		}
		return matrix.Errorf(matrix.BadJSON, "%s must be %s", field(wrongType.JSONPointer), jsonName(wrongType.GoType))
	}
	return matrix.Errorf(matrix.BadJSON, "the body does not have the expected form")
}

// field names the place of an error as people write it: identifier.user.
func field(at jsontext.Pointer) string {
	path := ""
	for token := range at.Tokens() {
		if path != "" {
			path += "."
		}
		path += token
	}
	return `"` + Clip(path, 128) + `"`
}

const wholeNumber = "a whole number"

// jsonName returns JSON's name of the type that a field should have had.
func jsonName(t reflect.Type) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return "something else"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return wholeNumber
	default:
		return "something else"
	}
}
