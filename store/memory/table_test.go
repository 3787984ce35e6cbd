package memory

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A table behaves as a map with sorted keys.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, model := newTable[int64](), map[int64]bool{}
		key := rapid.OneOf(rapid.Int64Range(1, 300), rapid.Int64Range(1, 5000))
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k := key.Draw(t, "key")
				table.put(k, &k)
				model[k] = true
			},
			"delete": func(t *rapid.T) {
				k := key.Draw(t, "key")
				table.delete(k)
				delete(model, k)
			},
			"": func(t *rapid.T) {
				k := rapid.Int64Range(0, 5000).Draw(t, "from")
				if (table.get(k) != nil) != model[k] {
					t.Fatalf("get %d: there %v, want %v", k, table.get(k) != nil, model[k])
				}
				compareTable(t, &table, slices.Sorted(maps.Keys(model)), k)
			},
		})
	})
}

func compareTable(t *rapid.T, table *table[int64], keys []int64, from int64) {
	var up, down, wantUp, wantDown []int64
	for k, v := range table.after(from) {
		if k != *v {
			t.Fatalf("row %d under key %d", *v, k)
		}
		up = append(up, k)
	}
	for k := range table.before(from) {
		down = append(down, k)
	}
	for _, k := range keys {
		if k > from {
			wantUp = append(wantUp, k)
		}
		if k < from || from == 0 {
			wantDown = append(wantDown, k)
		}
	}
	slices.Reverse(wantDown)
	if !slices.Equal(up, wantUp) || !slices.Equal(down, wantDown) {
		t.Fatalf("from %d: up %v, want %v; down %v, want %v", from, up, wantUp, down, wantDown)
	}
	if blocks := len(table.blocks); blocks != table.order.Len() || blocks > len(keys) {
		t.Fatalf("%d blocks and %d in order for %d rows", blocks, table.order.Len(), len(keys))
	}
}
