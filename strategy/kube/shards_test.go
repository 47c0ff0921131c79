// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

func TestEveryShardHasOneOwnerAndNobodyHasTwoMore(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		members := make([]string, r.IntN(6)+1)
		for i := range members {
			members[i] = "m" + strconv.Itoa(i)
		}
		holders := make([]string, r.IntN(20)+1)
		for i := range holders {
			if r.IntN(3) > 0 {
				holders[i] = "m" + strconv.Itoa(r.IntN(8)) // some hold who are gone
			}
		}
		owners := assign(members, holders)
		has, kept := map[string]int{}, map[string]int{}
		for i, owner := range owners {
			if !slices.Contains(members, owner) {
				t.Fatalf("seed %d: shard %d is %q's", seed, i, owner)
			}
			has[owner]++
			if owner == holders[i] {
				kept[owner]++
			}
		}
		least, most := len(holders), 0
		for _, m := range members {
			least, most = min(least, has[m]), max(most, has[m])
			held := 0
			for _, h := range holders {
				if h == m {
					held++
				}
			}
			if kept[m] < min(held, len(holders)/len(members)) {
				t.Errorf("seed %d: %s held %d, has %d and kept %d: %q to %q", seed, m, held, has[m], kept[m], holders, owners)
			}
		}
		if most-least > 1 {
			t.Errorf("seed %d: from %d to %d shards: %q", seed, least, most, owners)
		}
		if again := assign(members, owners); !slices.Equal(again, owners) {
			t.Errorf("seed %d: %q becomes %q without any change", seed, owners, again)
		}
		shuffled := slices.Clone(members)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if other := assign(shuffled, holders); !slices.Equal(other, owners) {
			t.Errorf("seed %d: the order of the members counts", seed)
		}
	}
	if owners := assign(nil, []string{"a", ""}); !slices.Equal(owners, []string{"", ""}) {
		t.Errorf("without members: %q", owners)
	}
}
