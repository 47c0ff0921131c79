// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"encoding/json"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	evaluation "github.com/launchdarkly/go-server-sdk-evaluation/v3"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldtestdata"
)

var launchDarkly = Peer{
	Name:    "LaunchDarkly client",
	Modules: []string{"github.com/launchdarkly/go-server-sdk/v7"},
	Text:    launchDarklyText, Start: startLaunchDarkly,
}

// launchDarklyEvaluator is what the client asks, without the client.
var launchDarklyEvaluator = Peer{
	Name:    "LaunchDarkly evaluator alone",
	Modules: []string{"github.com/launchdarkly/go-server-sdk-evaluation/v3"},
	Text:    launchDarklyText, Start: startLaunchDarklyEvaluator,
}

const launchDarklySalt = "salt"

func launchDarklyText(f *Fixture) any {
	const on, off = 0, 1
	return byFlag(f, func(flag Flag) object {
		tenth := object{"rollout": object{"variations": list{
			object{"variation": on, "weight": percent * 1000}, object{"variation": off, "weight": (100 - percent) * 1000},
		}}}
		text := object{
			"key": flag.Key, "salt": launchDarklySalt, "version": 1, "on": true,
			"variations": list{true, false}, "offVariation": off,
		}
		clause := func(attribute, op string, values any) object {
			return object{"attribute": attribute, "op": op, "values": values}
		}
		switch flag.Case {
		case On:
			text["fallthrough"] = object{"variation": on}
		case Pct:
			text["fallthrough"] = tenth
		case Users:
			text["fallthrough"] = object{"variation": off}
			text["targets"] = list{object{"variation": on, "values": f.Listed}}
		default:
			text["fallthrough"] = tenth
			text["rules"] = list{object{"id": "1", "variation": on, "clauses": list{
				clause("country", "in", countries), clause("plan", "in", list{plan}), clause("build", "greaterThanOrEqual", list{minBuild}),
			}}}
		}
		return text
	})
}

func launchDarklyContext(p *Person) ldcontext.Context {
	return ldcontext.NewBuilder(p.Key).SetString("country", p.Country).SetString("plan", p.Plan).SetFloat64("build", p.Build).Build()
}

func launchDarklyContexts(f *Fixture) *[People]ldcontext.Context {
	who := new([People]ldcontext.Context)
	for i := range f.People {
		who[i] = launchDarklyContext(&f.People[i])
	}
	return who
}

func startLaunchDarkly(f *Fixture, text []byte) (*Running, error) {
	var parsed map[string]ldmodel.FeatureFlag
	if err := json.Unmarshal(text, &parsed); err != nil {
		return nil, err
	}
	data := ldtestdata.DataSource()
	for key := range parsed {
		data.UsePreconfiguredFlag(parsed[key])
	}
	client, err := ld.MakeCustomClient("sdk-key", ld.Config{
		DataSource: data, Events: ldcomponents.NoEvents(), Logging: ldcomponents.NoLogging(), DiagnosticOptOut: true,
	}, time.Minute)
	if err != nil {
		return nil, err
	}
	who, people := launchDarklyContexts(f), f.People
	r := &Running{Close: func() { _ = client.Close() }} // nothing is left to be sent
	for c := range Built {
		key := c.Key()
		r.Loops[c] = func(from, n int) (on int) {
			for i := from; i < from+n; i++ {
				if v, _ := client.BoolVariation(key, who[i&last], false); v {
					on++
				}
			}
			return on
		}
	}
	key := Built.Key()
	r.Loops[Built] = func(from, n int) (on int) {
		for i := from; i < from+n; i++ {
			if v, _ := client.BoolVariation(key, launchDarklyContext(&people[i&last]), false); v {
				on++
			}
		}
		return on
	}
	r.Sweep = func() Loop { return sweepLaunchDarkly(client, f.shuffled(), who) }
	return r, nil
}

func sweepLaunchDarkly(client *ld.LDClient, keys []string, who *[People]ldcontext.Context) Loop {
	return func(from, n int) (on int) {
		at := from % len(keys)
		for i := from; i < from+n; i++ {
			if v, _ := client.BoolVariation(keys[at], who[i&last], false); v {
				on++
			}
			if at++; at == len(keys) {
				at = 0
			}
		}
		return on
	}
}

// launchDarklyFlags are flags in a map, as an evaluator wants them.
type launchDarklyFlags map[string]*ldmodel.FeatureFlag

// GetFeatureFlag is the flag, or nil.
func (f launchDarklyFlags) GetFeatureFlag(key string) *ldmodel.FeatureFlag { return f[key] }

// GetSegment is nil: there are none.
func (f launchDarklyFlags) GetSegment(string) *ldmodel.Segment { return nil }

func startLaunchDarklyEvaluator(f *Fixture, text []byte) (*Running, error) {
	var parsed launchDarklyFlags
	if err := json.Unmarshal(text, &parsed); err != nil {
		return nil, err
	}
	evaluator := evaluation.NewEvaluator(parsed)
	who, people := launchDarklyContexts(f), f.People
	r := &Running{Close: func() {}}
	for c := range Built {
		flag := parsed[c.Key()]
		r.Loops[c] = func(from, n int) (on int) {
			for i := from; i < from+n; i++ {
				if evaluator.Evaluate(flag, who[i&last], nil).Detail.Value.BoolValue() {
					on++
				}
			}
			return on
		}
	}
	flag := parsed[Built.Key()]
	r.Loops[Built] = func(from, n int) (on int) {
		for i := from; i < from+n; i++ {
			if evaluator.Evaluate(flag, launchDarklyContext(&people[i&last]), nil).Detail.Value.BoolValue() {
				on++
			}
		}
		return on
	}
	return r, nil
}
