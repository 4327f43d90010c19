package reports

import (
	"context"

	"homeserver/internal/matrix"
)

// List returns reports in the order in which they came, those after the one with the
// number after, up to limit of them: the open ones, or with closed all.
func (s *Service) List(ctx context.Context, closed bool, after int64, limit int) ([]Report, error) {
	return listReports(ctx, s.pool, closed, after, limit)
}

// Find returns the report with a number. M_NOT_FOUND if there is none.
func (s *Service) Find(ctx context.Context, id int64) (*Report, error) {
	r, err := findReport(ctx, s.pool, id)
	if err == nil && r == nil {
		err = matrix.Errorf(matrix.NotFound, "there is no report %d", id)
	}
	return r, err
}

// Close notes that the operator has dealt with a report, and returns false if that was
// noted before. M_NOT_FOUND if there is no report of the number.
func (s *Service) Close(ctx context.Context, id int64) (closed bool, err error) {
	closed, err = closeReport(ctx, s.pool, id, s.now().UnixMilli())
	if err != nil || closed {
		return closed, err
	}
	_, err = s.Find(ctx, id)
	return false, err
}
