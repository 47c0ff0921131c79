// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import (
	"fmt"
	"math"
	"strings"
)

// Charts are one SVG for each world, by its name: for each rule false rollbacks,
// misses of +1pp, and requests harmed by it.
func (r *Results) Charts() map[string]string {
	charts := make(map[string]string, len(r.worlds))
	for _, w := range r.worlds {
		charts[w.Name] = r.chart(w)
	}
	return charts
}

const (
	rowHeight, labels, panel = 18, 110, 190
)

// chart draws three panels of bars beside each other.
func (r *Results) chart(w *World) string {
	var b strings.Builder
	width, height := labels+3*panel, 40+rowHeight*len(r.tried(w))
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	for i, title := range []string{"false rollback, mean, %", "+1pp missed, mean, %", "harmed by +1pp, 500 rps, log"} {
		fmt.Fprintf(&b, `<text x="%d" y="20">%s</text>`+"\n", labels+i*panel, title)
	}
	for i, rule := range r.tried(w) {
		y := 34 + i*rowHeight
		fill := "#999999"
		if rule.Ours {
			fill = "#1f6feb"
		}
		fmt.Fprintf(&b, `<text x="4" y="%d">%s</text>`+"\n", y+12, rule.Name)
		for k, v := range r.bars(w, rule) {
			part := v / 100
			if k == 2 {
				part = math.Log10(1+v) / 4
			}
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d">%s</text>`+"\n",
				labels+k*panel, y, 1+part*(panel-60), rowHeight-4, fill, float64(labels+k*panel)+4+part*(panel-60), y+12, number(v))
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (r *Results) bars(w *World, rule *Rule) [3]float64 {
	var good, bad Tally
	for _, rps := range Rates {
		for _, share := range Shares {
			t := r.tally[key{w.Name, rule.Name, "good", Cell{rps, share}}]
			good.Runs, good.Back = good.Runs+t.Runs, good.Back+t.Back
		}
		t := r.tally[key{w.Name, rule.Name, "+1pp", Cell{rps, 0.001}}]
		bad.Runs, bad.Back = bad.Runs+t.Runs, bad.Back+t.Back
	}
	t := r.tally[key{w.Name, rule.Name, "+1pp", Cell{500, 0.001}}]
	return [3]float64{
		100 * float64(good.Back) / float64(max(1, good.Runs)),
		100 - 100*float64(bad.Back)/float64(max(1, bad.Runs)),
		float64(t.Harmed) / float64(max(1, t.Runs)),
	}
}
