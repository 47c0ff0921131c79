// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rheostat-go/rheostat/analysis"
)

// FuzzANameChangesNothingButItself fills names in and looks for what they could have
// changed: nothing but the very names may meet the conditions, and what is sent has
// the matchers that were written.
func FuzzANameChangesNothingButItself(f *testing.F) {
	for _, name := range []string{"v1", `v1"} or {x="`, "v.1|v2", `\E`, `\`, "$candidate", "${stable}", "v1\n", "(?i)v", "]", "é\xff", "v1)|(.*", "$", "`"} {
		f.Add(name, "other")
	}
	q, err := Query{
		Where: `service="$service", path!~"/$service/.*"`, Stable: "arm=~`$stable-[0-9]+`, lane=\"all\"", Candidate: "arm=~`$candidate-[0-9]+`, lane=\"all\"",
		Requests: "r", Errors: `r{code=~"5.."}`,
	}.compile()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, stable, other string) {
		if stable == "" || other == "" || !utf8.ValidString(stable) || !utf8.ValidString(other) {
			t.Skip()
		}
		p, err := q.plan(analysis.Check{Service: stable, Stable: stable, Candidate: other})
		if err != nil {
			t.Fatal(err)
		}
		for _, arm := range []string{stable, other, other + "-1", stable + "-x", "v1-1", "-1", stable + "-1" + other, ".-1"} {
			_, rest, found := strings.Cut(arm, stable+"-")
			want := found && strings.HasPrefix(arm, stable+"-") && regexp.MustCompile(`^[0-9]+$`).MatchString(rest)
			if got := allHold(p.inStable, map[string]string{"arm": arm, "lane": "all"}); got != want {
				t.Errorf("stable %q: %q is of it: %v, want %v", stable, arm, got, want)
			}
		}
		// What is sent: values without what is quoted.
		bare := regexp.MustCompile(`"(?:[^"\\]|\\.)*"`).ReplaceAllString(p.text, "_")
		if want := `{__name__=_,service=_,path!~_,arm=~_,lane=_}`; bare != want {
			t.Errorf("asks %s, which is %s, want %s", p.text, bare, want)
		}
		if strings.ContainsAny(p.text, "\n\x00") {
			t.Errorf("asks %q", p.text)
		}
	})
}

// FuzzAnAnswerIsReadLikeJSON compares the reader with the standard library's.
func FuzzAnAnswerIsReadLikeJSON(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"data":{"result":[{"metric":{"a\"":"\u00e9"},"values":[[1e3,"NaN"],[-1,"+Inf"]],"x":[{"y":null}]}],"resultType":"matrix"},"status":"success","warnings":null,"infos":["hm"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a answer
		if err := a.read(data, 100); err != nil {
			return
		}
		var want struct {
			Status string
			Data   struct {
				ResultType string
				Result     []struct {
					Metric map[string]string
					Value  []any
					Values [][]any
				}
			}
		}
		if err := json.Unmarshal(data, &want); err != nil {
			return // the reader is more lenient with what it skips
		}
		if a.failed || len(a.series) != len(want.Data.Result) {
			return // keys that come twice, or in capitals
		}
		for i, r := range a.series {
			labels, err := labelsOf(r.labels)
			if err != nil || len(want.Data.Result[i].Metric) == 0 {
				continue
			}
			if !reflect.DeepEqual(labels, want.Data.Result[i].Metric) && json.Valid(r.labels) && !strings.Contains(string(data), "\\u") && strings.Count(string(data), "metric") == len(a.series) {
				t.Errorf("series %d has %v, want %v", i, labels, want.Data.Result[i].Metric)
			}
			for _, p := range a.points[r.points:r.pointEnd] {
				if p.at < -1e15 || p.at > 1e15 {
					t.Errorf("a sample at %d", p.at)
				}
			}
		}
	})
}

func TestABucketThatIsShownLateIsNoCounterThatStartsOver(t *testing.T) {
	t.Parallel()
	g := &group{about: "x"}
	base := func(point) float64 { return 0 }
	for i, values := range [][3]float64{{5, 8, 9}, {7, 8, 9}, {7, 10, 11}} {
		for j, bound := range []float64{1, 2, math.Inf(1)} {
			g.bucket(bound).points = []point{{at: int64(i + 1), v: values[j]}}
		}
		before := append([]float64(nil), g.most...)
		g.settle(0, base)
		for j := range before {
			if g.most[j] < before[j] {
				t.Errorf("scrape %d: bucket %d fell from %v to %v", i, j, before[j], g.most[j])
			}
		}
	}
	if want := []float64{7, 3, 1}; !reflect.DeepEqual(g.most, want) {
		t.Errorf("counted %v, want %v", g.most, want)
	}
}

func TestWhatFallsOutOfTheShelfIsCountedAsGone(t *testing.T) {
	t.Parallel()
	var s shelf
	for i := range int64(keptLedgers + 10) {
		s.weigh(s.entry(rollout{exposed: i}), 1)
	}
	if s.order.Len() != keptLedgers || len(s.of) != keptLedgers || s.series != keptLedgers {
		t.Errorf("%d ledgers, %d keys, %d series; want %d of each", s.order.Len(), len(s.of), s.series, keptLedgers)
	}
	last := s.entry(rollout{exposed: -1})
	s.weigh(last, keptSeries+1)
	if s.order.Len() != 1 || s.series != keptSeries+1 {
		t.Errorf("%d ledgers and %d series beside one that is too large", s.order.Len(), s.series)
	}
}

func TestSeriesThatAreGoneForLongAreForgotten(t *testing.T) {
	t.Parallel()
	q, err := Query{Stable: `arm="1"`, Candidate: `arm="2"`, Requests: "r", Errors: `r{arm="2"}`, Latency: "l_bucket", Replica: "pod"}.compile()
	if err != nil {
		t.Fatal(err)
	}
	p, err := q.plan(analysis.Check{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Unix(0, 0)
	l := newLedger(p, began, 10)
	for hour := range int64(30) {
		var body strings.Builder
		body.WriteString(`{"status":"success","data":{"resultType":"matrix","result":[`)
		for i, name := range []string{`"__name__":"r"`, `"__name__":"l_bucket","le":"1"`, `"__name__":"l_bucket","le":"+Inf"`} {
			if i > 0 {
				body.WriteByte(',')
			}
			// A program of its own every hour.
			fmt.Fprintf(&body, `{"metric":{%s,"arm":"1","pod":"%d"},"values":[[%d,"2"]]}`, name, hour, hour*3600)
		}
		body.WriteString("]}}")
		var a answer
		if err := a.read([]byte(body.String()), 10); err != nil {
			t.Fatal(err)
		}
		if err := l.take(&a, hour*3600*1000); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.keyed) > 9 || len(l.named) > 9 || len(l.groups) > 3 {
		t.Errorf("%d series and %d histograms are remembered of 30 programs that are gone", len(l.keyed), len(l.groups))
	}
	got, err := l.totals(began)
	if err != nil || got.arms[0].Requests != 58 || !reflect.DeepEqual(got.arms[0].Latency, []uint64{58, 0}) {
		t.Errorf("stable counted %+v, %v; want 58, 2 of each program but the one from before", got.arms[0], err)
	}
	a, b := got.halves[0], got.halves[1]
	if a.Requests+b.Requests != 58 || a.Requests == 0 || b.Requests == 0 || a.Latency[0] != a.Requests || b.Latency[0] != b.Requests {
		t.Errorf("stable's halves counted %+v and %+v, want 58 in both", a, b)
	}
}
