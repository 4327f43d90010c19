package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// searchUsers finds people. M_MISSING_PARAM without a term. Section "User Directory",
// POST /user_directory/search.
func (a *api) searchUsers(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		Term  *string `json:"search_term"`
		Limit *int    `json:"limit"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if body.Term == nil {
		return nil, matrix.Errorf(matrix.MissingParam, "search_term is missing")
	}
	return a.Directory.Search(r.Context(), who.UserID, *body.Term, body.Limit)
}
