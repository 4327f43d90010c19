package api

import (
	"net/http"

	"homeserver/internal/matrix"
)

// searchUsers finds people. M_MISSING_PARAM without a term. Section "User Directory",
// POST /user_directory/search.
func (a *API) searchUsers(r *http.Request, who matrix.Session) (any, error) {
	var body struct {
		Term  *string `json:"search_term"`
		Limit *int    `json:"limit"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if body.Term == nil {
		return nil, matrix.Errorf(matrix.MissingParam, "search_term is missing")
	}
	return a.directory.Search(r.Context(), who.UserID, *body.Term, body.Limit)
}
