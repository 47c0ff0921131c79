// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/prometheus"
)

// BenchmarkRollouts is one check of one of many rollouts by a Compare, errors and
// latency of two arms of three replicas each, over HTTP on loopback: 120 series, three
// samples each. The server is part of what is measured; it has its answer ready.
func BenchmarkRollouts(b *testing.B) {
	const rollouts = 1000
	now := start
	body := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
	b.Cleanup(server.Close)
	q := withLatency()
	src, err := prometheus.New(server.URL, q, prometheus.Options{Stale: 1000 * time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	judge, err := analysis.NewCompare(src, analysis.Default())
	if err != nil {
		b.Fatal(err)
	}
	states := make([]analysis.State, rollouts)
	round := func(i int) {
		c := check(now.Sub(start))
		c.Service, c.State = fmt.Sprint(i), states[i]
		f, err := judge.Judge(b.Context(), c)
		if err != nil || strings.Contains(f.Reason, "could not be read") {
			b.Fatal(f.Reason, err)
		}
		states[i] = f.State
	}
	for range 2 {
		now = now.Add(10 * time.Second)
		body = answerAt(now)
		for i := range rollouts {
			round(i)
		}
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n%rollouts == 0 {
			now = now.Add(10 * time.Second)
			b.StopTimer()
			body = answerAt(now)
			b.StartTimer()
		}
		round(n % rollouts)
		n++
	}
	b.ReportMetric(float64(len(body)), "bytes/answer")
}

// answerAt is what a server says of the half minute before.
func answerAt(now time.Time) string {
	var b strings.Builder
	b.WriteString(`{"status":"success","data":{"resultType":"matrix","result":[`)
	series := func(labels string, rate int64) {
		if !strings.HasSuffix(b.String(), "[") {
			b.WriteByte(',')
		}
		b.WriteString(`{"metric":{` + labels + `},"values":[`)
		for i := range int64(3) {
			if i > 0 {
				b.WriteByte(',')
			}
			at := now.Add(time.Duration(i-2) * 10 * time.Second)
			fmt.Fprintf(&b, `[%d.123,"%d"]`, at.Unix(), rate*(at.Unix()-start.Unix()+3600))
		}
		b.WriteString("]}")
	}
	for _, arm := range []string{"v1", "v2"} {
		for pod := range 3 {
			for i, code := range []string{"200", "302", "404", "500"} {
				series(fmt.Sprintf(`"__name__":"requests_total","arm":%q,"code":%q,"instance":"10.0.0.%d:8080","job":"checkout","namespace":"shop"`, arm, code, pod), int64(40-10*i))
			}
			for i, le := range []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "1.5", "2", "2.5", "5", "10", "20", "30", "+Inf"} {
				series(fmt.Sprintf(`"__name__":"latency_seconds_bucket","arm":%q,"instance":"10.0.0.%d:8080","job":"checkout","le":%q,"namespace":"shop"`, arm, pod, le), int64(10*(i+1)))
			}
		}
	}
	b.WriteString("]}}")
	return b.String()
}
