// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagvet

// nearest is the key that is meant most likely, "" if none is near. Of two as near, the
// first.
func nearest(key string, known []string) string {
	best, limit := "", max(1, min(3, len(key)/3))+1
	for _, k := range known {
		if d := distance(key, k, limit); d < limit {
			best, limit = k, d
		}
	}
	return best
}

// distance is how many bytes must be put in, taken out or changed to make b of a, or
// limit, if that is less.
func distance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return min(row[len(b)], limit)
}
