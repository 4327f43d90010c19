package reserve

import (
	"context"
	"slices"
	"testing"
)

// TestPartsAreReadTogetherAndLetGo reads keys in their order and out of it.
func TestPartsAreReadTogetherAndLetGo(t *testing.T) {
	t.Parallel()
	m := New(16*mib, nil)
	ctx := With(t.Context(), m.Open("alice"))
	const half = PartCost / 2
	stretches := []Stretch[int]{
		{1, 0, 1, half}, {2, 1, 2, half}, {2, 2, 3, half}, {2, 3, 4, 3 * PartCost}, {5, 0, 9, 1}, {6, 0, 9, 1},
	}
	reads := 0
	parts, err := NewParts(ctx, stretches, func(ctx context.Context, part []Stretch[int]) (map[int][]int64, error) {
		reads++
		found := map[int][]int64{}
		return found, Read(ctx, func(c *Counter) error {
			for _, st := range part {
				found[st.Key] = append(found[st.Key], st.UpTo)
				if err := c.Add(int(st.Cost)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if keys := slices.Collect(parts.Keys()); !slices.Equal(keys, []int{1, 2, 5, 6}) {
		t.Errorf("the keys are %v", keys)
	}
	of := func(key int) (all []int64) {
		for list, err := range parts.Of(ctx, key) {
			if err != nil {
				t.Fatal(err)
			}
			if all = append(all, list...); Used(ctx) > 3*PartCost {
				t.Errorf("%d bytes are in use for key %d", Used(ctx), key)
			}
		}
		return all
	}
	for _, test := range []struct {
		key, reads int
		want       []int64
	}{{1, 1, []int64{1}}, {2, 3, []int64{2, 3, 4}}, {3, 3, nil}, {5, 4, []int64{9}}, {6, 4, []int64{9}}, {1, 5, []int64{1}}} {
		if got := of(test.key); !slices.Equal(got, test.want) || reads != test.reads {
			t.Errorf("key %d: got %v after %d reads, want %v after %d", test.key, got, reads, test.want, test.reads)
		}
	}
	if parts.Done(ctx); Used(ctx) != 0 {
		t.Errorf("%d bytes are in use of a list that is done", Used(ctx))
	}
	if got := of(1); !slices.Equal(got, []int64{1}) {
		t.Errorf("a list that was done has %v", got)
	}
}

// A caller that writes a list need not check whether there are parts.
func TestNoPartsAreNothing(t *testing.T) {
	t.Parallel()
	parts, err := NewParts[int, int](t.Context(), nil, nil)
	if parts != nil || err != nil {
		t.Errorf("got %v, %v", parts, err)
	}
	parts.Done(t.Context())
	if err := parts.Ahead(t.Context()); err != nil {
		t.Errorf("waited for nothing: %v", err)
	}
	for list, err := range parts.Of(t.Context(), 1) {
		t.Errorf("there is something in nothing: %v, %v", list, err)
	}
	if keys := slices.Collect(parts.Keys()); len(keys) > 0 {
		t.Errorf("there are the keys %v", keys)
	}
}
