// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"hash/fnv"
	"slices"
)

// shardOf is the shard of a service, out of n.
func shardOf(service string, n int) int {
	h := fnv.New64a()
	h.Write([]byte(service)) // never fails
	return int(h.Sum64() % uint64(n))
}

// assign gives every shard to a member, so that nobody has two more than anybody else and
// as few as possible move: holders has who holds each shard now, "" for nobody. All who
// know the same come to the same. Without members nobody gets anything.
func assign(members, holders []string) []string {
	owners := make([]string, len(holders))
	if len(members) == 0 {
		return owners
	}
	members = slices.Clone(members)
	slices.Sort(members)
	share, extra := len(holders)/len(members), len(holders)%len(members)
	has := map[string]int{}
	keep := func(most int) {
		for i, holder := range holders {
			room := has[holder] < share || has[holder] == share && extra > 0 && most > share
			if owners[i] != "" || !slices.Contains(members, holder) || !room {
				continue
			}
			owners[i] = holder
			if has[holder]++; has[holder] > share {
				extra--
			}
		}
	}
	keep(share)     // first everybody what everybody gets,
	keep(share + 1) // then one more to those who have one more
	for i := range owners {
		if owners[i] != "" {
			continue
		}
		for _, member := range members {
			if has[member] < share || has[member] == share && extra > 0 {
				owners[i] = member
				if has[member]++; has[member] > share {
					extra--
				}
				break
			}
		}
	}
	return owners
}
