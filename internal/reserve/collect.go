package reserve

import (
	"context"
	"math"

	"github.com/jackc/pgx/v5"
)

// Collect is [pgx.CollectRows] by [Read]: it counts the bytes that cost returns for
// each row. The query may run more than once.
func Collect[T any](ctx context.Context, query func() pgx.Rows, scan pgx.RowToFunc[T], cost func(T) int) ([]T, error) {
	list, _, err := CollectSome(ctx, math.MaxInt64, query, scan, cost)
	return list, err
}

// CostOfText estimates the memory of a text in a list, once as a value and once as it
// is encoded.
func CostOfText(text string) int {
	const beside = 48
	return 2*len(text) + beside
}

// CollectSome collects the first rows of a query, until they cost so much, and reports
// whether there are more.
func CollectSome[T any](
	ctx context.Context, most int64, query func() pgx.Rows, scan pgx.RowToFunc[T], cost func(T) int,
) (list []T, more bool, err error) {
	err = Read(ctx, func(c *Counter) error {
		list, more = []T{}, false
		rows, left := query(), most
		defer rows.Close()
		for rows.Next() {
			if more = left <= 0; more {
				break
			}
			one, err := scan(rows)
			if err != nil {
				return err
			}
			n := cost(one)
			if err := c.Add(n); err != nil {
				return err
			}
			list, left = append(list, one), left-int64(n)
		}
		rows.Close()
		return rows.Err()
	})
	return list, more, err
}
