package reserve

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Collect is [pgx.CollectRows] by [Read]: it counts what a function says that each row
// costs. The query may run more than once.
func Collect[T any](ctx context.Context, query func() pgx.Rows, scan pgx.RowToFunc[T], cost func(T) int) (list []T, err error) {
	err = Read(ctx, func(c *Counter) error {
		list, err = pgx.CollectRows(query(), func(row pgx.CollectableRow) (T, error) {
			one, err := scan(row)
			if err == nil {
				err = c.Add(cost(one))
			}
			return one, err
		})
		return err
	})
	return list, err
}
