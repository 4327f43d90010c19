// Package terms has people accept documents of the operator when they register: the stage m.login.terms of interactive
// authentication. Client-server API, "Terms of service at registration".
//
// Which versions a user has accepted is stored in the transaction that makes the account, as they were shown when the
// stage was completed.
package terms

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/uia"
)

// Document is a document in one version, in the languages that there are.
type Document struct {
	Version string
	Texts   []Text
}

// Text is a document in one language, by its tag, such as en.
type Text struct {
	Language string `json:"-"`
	Name     string `json:"name"`
	URL      string `json:"url"`
}

// MarshalJSON writes the document as a member of policies: "m.login.terms params".
func (d Document) MarshalJSON() ([]byte, error) {
	members := map[string]any{"version": d.Version}
	for _, t := range d.Texts {
		members[t.Language] = t
	}
	encoded, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("encode a document: %w", err)
	}
	return encoded, nil
}

// Register adds the stage, for documents by their IDs. now is the clock.
func Register(stages *uia.Service, documents map[string]Document, now func() time.Time) {
	versions := map[string]string{}
	for id, d := range documents {
		versions[id] = d.Version
	}
	stages.Register(uia.StageTerms, uia.Stage{
		Params: map[string]any{"policies": documents},
		Check: func(context.Context, uia.Attempt) (uia.Evidence, error) {
			shown, err := json.Marshal(versions)
			if err != nil {
				return uia.Evidence{}, fmt.Errorf("encode the versions of documents: %w", err)
			}
			return uia.Evidence{Proof: string(shown)}, nil
		},
		Claim: func(ctx context.Context, tx pgx.Tx, _, proof, userID string) error {
			return insert(ctx, tx, userID, proof, now().UnixMilli())
		},
	})
}

// insert stores which versions a user has accepted, an object of versions by the IDs of documents.
func insert(ctx context.Context, tx pgx.Tx, userID, versions string, at int64) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO accepted_terms (user_id, document, version, accepted_at)
		SELECT $1, key, value, $3 FROM jsonb_each_text($2::jsonb) ON CONFLICT DO NOTHING`, userID, versions, at)
	if err != nil {
		return fmt.Errorf("store what %s has accepted: %w", userID, err)
	}
	return nil
}

// Of returns the documents that people have to accept; none if the stage is not there.
func Of(stages *uia.Service) map[string]Document {
	documents, _ := stages.Params(uia.StageTerms)["policies"].(map[string]Document)
	return documents
}
