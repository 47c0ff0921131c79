// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package judges

import (
	"fmt"
	"strings"
)

// Markdown is the whole document.
func (r *Results) Markdown() string {
	var b strings.Builder
	bad := badRuns(r.Runs)
	fmt.Fprintf(&b, `# Judges

`+"`GOWORK=off go run ./cmd/judges -seed %d -runs %d`"+` in this directory writes this file and the charts; no line of it is written by hand.

Simulated rollouts: 1, 5, 10, 25, 50 and 100%% for a minute each, counted every ten seconds, after a quarter of an hour of
stable alone. Requests come as a Poisson process; latency is log-normal, median 80 ms, 99th percentile 300 ms. Each cell of
good candidates is %d rollouts, of bad ones %d, so that one of a cell is %s and %s; of 0 seen in n, up to 3/n may be true (95%%). A false rollback is one of a
candidate that is the same as stable; a miss is a bad one that was promoted; harmed are the candidate's failed requests
until the end (for latency: those above 500 ms). Misses are averaged over 5 to 5,000 requests a second with stable at 0.1%% errors.

The peers are re-implemented from their code and documents, without their source of data, their clocks and their operators.
Limits and windows are the ones named; other settings move them a lot. The worlds are this project's own, and only the first is
what the proof of analysis.Compare asks for.

`, r.Seed, r.Runs, r.Runs, bad, percent(1, r.Runs), percent(1, bad))
	for _, rule := range r.rules {
		fmt.Fprintf(&b, "- **%s**: %s\n", rule.Name, rule.About)
	}
	for _, w := range r.worlds {
		r.world(&b, w)
	}
	r.equals(&b)
	r.inBurstsMarkdown(&b)
	return b.String()
}

func (r *Results) world(b *strings.Builder, w *World) {
	fmt.Fprintf(b, "\n## %s\n\n%s.\n\n", w.Name, sentenceCase(w.About))
	fmt.Fprintf(b, "| rule | false rollback, mean | worst of 12 cells | missed outage | +5pp | +1pp | +1pp at 5 and 50 rps | latency +50%% | harmed at 500 rps: outage | +5pp | +1pp | latency +50%% | good: s to promote at 500 rps |\n|%s\n", strings.Repeat("---|", 13))
	for _, rule := range r.tried(w) {
		get := func(d string, c Cell) Tally { return r.tally[key{w.Name, rule.Name, d, c}] }
		missed := func(d string) string {
			n, back := 0, 0
			for _, rps := range Rates {
				t := get(d, Cell{rps, 0.001})
				n, back = n+t.Runs, back+t.Back
			}
			return percent(n-back, n)
		}
		all, back, worst := 0, 0, Tally{Runs: 1}
		for _, share := range Shares {
			for _, rps := range Rates {
				t := get("good", Cell{rps, share})
				all, back = all+t.Runs, back+t.Back
				if t.Back*worst.Runs > worst.Back*t.Runs {
					worst = t
				}
			}
		}
		harmed := func(d string) string {
			t := get(d, Cell{500, 0.001})
			return number(float64(t.Harmed) / float64(max(1, t.Runs)))
		}
		slow := func(rps float64) string {
			t := get("+1pp", Cell{rps, 0.001})
			return percent(t.Runs-t.Back, t.Runs)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s, %s | %s | %s | %s | %s | %s | %s |\n", rule.Name,
			percent(back, all), percent(worst.Back, worst.Runs), missed("outage"), missed("+5pp"), missed("+1pp"), slow(5), slow(50),
			missed("latency +50%"), harmed("outage"), harmed("+5pp"), harmed("+1pp"), harmed("latency +50%"), promoted(get("good", Cell{500, 0.001})))
	}
	fmt.Fprintf(b, "\nFalse rollbacks by cell, and seconds to promote a good candidate at stable 0.1%%:\n\n| rule |")
	for _, share := range Shares {
		for _, rps := range Rates {
			fmt.Fprintf(b, " %g%%, %g rps |", share*100, rps)
		}
	}
	for _, rps := range Rates {
		fmt.Fprintf(b, " s at %g rps |", rps)
	}
	fmt.Fprintf(b, "\n|%s\n", strings.Repeat("---|", 17))
	for _, rule := range r.tried(w) {
		fmt.Fprintf(b, "| %s |", rule.Name)
		for _, share := range Shares {
			for _, rps := range Rates {
				t := r.tally[key{w.Name, rule.Name, "good", Cell{rps, share}}]
				fmt.Fprintf(b, " %s |", percent(t.Back, t.Runs))
			}
		}
		for _, rps := range Rates {
			fmt.Fprintf(b, " %s |", promoted(r.tally[key{w.Name, rule.Name, "good", Cell{rps, 0.001}}]))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(b, "\n![%s](judges-%s.svg)\n", w.Name, w.Name)
}

func (r *Results) equals(b *strings.Builder) {
	if len(r.equal) == 0 {
		return
	}
	b.WriteString(`
## At an equal rate of false rollbacks

Each peer looks at errors only, and its limit is set, at each rate by itself, so that on other seeds one good candidate in a
hundred was rolled back: what nobody can do who knows neither rate. For compare the limit is evidence in nats, set the same way, and
it watches latency too; in bold it is as it comes, with a limit of 4.6. Numbers that are often equal leave some rules below one in a hundred. Flagger's threshold of 10 is left out: a failed look makes its rollout longer, so that
no limit can be read from rollouts without one.

| rule | rps | limit | false rollback | missed +5pp | missed +1pp | harmed +5pp | harmed +1pp |
|---|---|---|---|---|---|---|---|
`)
	for _, rps := range Rates {
		for _, e := range r.equal {
			if e.rps == rps {
				fmt.Fprintf(b, "| %s | %g | %.4g | %s | %s | %s | %s | %s |\n", e.rule, rps, e.limit, percent(e.good.Back, e.good.Runs),
					missedOf(e.fivePoints), missedOf(e.onePoint), harmedOf(e.fivePoints), harmedOf(e.onePoint))
			}
		}
		for _, rule := range r.rules {
			if !rule.Ours || rule.only != "" {
				continue
			}
			get := func(d string) Tally { return r.tally[key{"iid", rule.Name, d, Cell{rps, 0.001}}] }
			good := get("good")
			fmt.Fprintf(b, "| **%s** | %g | | %s | %s | %s | %s | %s |\n", rule.Name, rps, percent(good.Back, good.Runs),
				missedOf(get("+5pp")), missedOf(get("+1pp")), harmedOf(get("+5pp")), harmedOf(get("+1pp")))
		}
	}
}

func missedOf(t Tally) string { return percent(t.Runs-t.Back, t.Runs) }
func harmedOf(t Tally) string { return number(float64(t.Harmed) / float64(max(1, t.Runs))) }

func promoted(t Tally) string {
	if t.Back == t.Runs {
		return "never"
	}
	return fmt.Sprintf("%.0f", Tick.Seconds()*float64(t.Ticks)/float64(t.Runs-t.Back))
}

func percent(part, of int) string {
	if part == 0 {
		return "0"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(max(1, of)))
}

func number(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

func sentenceCase(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
