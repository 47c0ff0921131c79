// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffictest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// leaks is how often a case calls a router to see what stays.
const leaks = 10

// leakLabel marks the goroutines of one case, which hand it on to those that
// they start; others may run beside it.
const leakLabel = "rheostat-traffictest-leak"

var leakCases = []testCase{{
	name: "calls leave no goroutine behind",
	why: "Goroutines are the caller's. What Apply and Observe start for themselves has ended soon after they have returned, also when their context has ended, they were refused, or the target hangs. " +
		"A few that are used again, such as those of an idle connection, may stay.",
	run: func(r *run) {
		id := nextLeak()
		pprof.Do(r.ctx, pprof.Labels(leakLabel, id), func(ctx context.Context) {
			r.ctx = ctx
			n := 0
			r.callAround(&n)
			r.callAround(&n)
			before := labelled(id)
			for range leaks {
				r.callAround(&n)
			}
			left := 0
			if !r.within(func() bool { left = labelled(id) - before; return left < leaks/2 }) {
				r.Fatalf("%v after %d rounds of calls there are %d more goroutines", r.Settle, leaks, left)
			}
		})
	},
}}

// callAround makes each kind of call once.
func (r *run) callAround(n *int) {
	r.Helper()
	for _, w := range []traffic.Weight{r.some(), 0} {
		*n++
		r.apply(*n, r.route(w))
		r.see()
	}
	ended, cancel := context.WithCancel(r.ctx)
	cancel()
	_ = r.Router.Apply(ended, r.fence(*n+1), r.route(0))
	_, _ = r.Router.Observe(ended)
	_ = r.Router.Apply(r.ctx, r.fence(*n+1), traffic.Route{})
	if r.Break == nil {
		return
	}
	mend, err := r.Break(r.ctx, Hanging)
	if err != nil {
		return
	}
	defer mend()
	_ = r.bounded("Observe", 10*time.Millisecond, func(ctx context.Context) error { _, err := r.Router.Observe(ctx); return err })
}

var leakCount atomic.Int64

func nextLeak() string { return strconv.FormatInt(leakCount.Add(1), 10) }

// labelled counts the goroutines that carry the label id.
func labelled(id string) int {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return 0
	}
	// "3 @ 0x…" begins a record, and "# labels: {…}" follows if it has any.
	label := fmt.Sprintf("%q:%q", leakLabel, id)
	sum, here := 0, 0
	for lines := bufio.NewScanner(&profile); lines.Scan(); {
		line := lines.Text()
		if count, _, ok := strings.Cut(line, " @ "); ok {
			here, _ = strconv.Atoi(count)
		}
		if strings.HasPrefix(line, "# labels: ") && strings.Contains(line, label) {
			sum += here
		}
	}
	return sum
}
