// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package weights_test

import (
	"math"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube/internal/weights"
)

var arms = traffic.Arms{Stable: "a", Candidate: "b"}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	t.Parallel()
	for _, total := range []int64{100, 1000, 1_000_000} {
		for _, share := range []traffic.Weight{0, traffic.Full / traffic.Weight(total), traffic.Percent(50), traffic.Percent(99), traffic.Full} {
			pair := weights.Of(traffic.Route{Arms: arms, Split: traffic.Split{Candidate: share}}, total)
			if sum := pair.For("a") + pair.For("b") + pair.For("c"); sum != total {
				t.Errorf("%v of %d: the weights add up to %d", share, total, sum)
			}
			if got, stranger, err := weights.Candidate(pair[:], arms); got != share || stranger != "" || err != nil {
				t.Errorf("%v of %d: read back as %v, %q (%v)", share, total, got, stranger, err)
			}
		}
	}
}

func TestAPartIsNeitherNothingNorEverything(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		part, sum int64
		want      traffic.Weight
	}{
		{0, 7, 0},
		{7, 7, traffic.Full},
		{1, math.MaxInt32, 1},
		{math.MaxInt32 - 1, math.MaxInt32, traffic.Full - 1},
		{1, 3, 333_333},
		{2, 3, 666_667},
	} {
		if got := weights.Share(c.part, c.sum); got != c.want {
			t.Errorf("%d of %d: %d ppm, want %d", c.part, c.sum, got, c.want)
		}
	}
}

func TestWhoElseGetsRequestsIsNamed(t *testing.T) {
	t.Parallel()
	all := []weights.Backend{{"a", 1}, {"c", 1}, {"b", 2}, {"idle", 0}}
	if _, stranger, err := weights.Candidate(all, arms); stranger != "c" || err != nil {
		t.Errorf("%q (%v), want c", stranger, err)
	}
	if _, _, err := weights.Candidate([]weights.Backend{{"a", 0}, {"b", 0}}, arms); err == nil {
		t.Error("nobody gets anything, and that is no error")
	}
}

func TestStableIsWhatComesFirstAndGetsAnything(t *testing.T) {
	t.Parallel()
	all := []weights.Backend{{"b", 0}, {"a", 1}, {"c", 1}}
	if got := weights.Found(all); got != arms {
		t.Errorf("%+v, want %+v", got, arms)
	}
}
