// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"

	"github.com/open-feature/flagd/core/pkg/evaluator"
	"github.com/open-feature/flagd/core/pkg/logger"
	"github.com/open-feature/flagd/core/pkg/store"
	"github.com/open-feature/flagd/core/pkg/sync"
)

// flagd is the evaluator that the daemon and the in-process provider call.
var flagd = Peer{
	Name:    "flagd core",
	Modules: []string{"github.com/open-feature/flagd/core", "github.com/diegoholiveira/jsonlogic/v3"},
	Text:    flagdText, Start: startFlagd,
}

func flagdText(f *Fixture) any {
	is := func(op, name string, value any) object { return object{op: list{object{"var": name}, value}} }
	tenth := object{"fractional": list{list{"on", percent}, list{"off", 100 - percent}}}
	rules := object{"if": list{
		object{"and": list{is("in", "country", countries), is("==", "plan", plan), is(">=", "build", minBuild)}}, "on", tenth,
	}}
	users := object{"if": list{is("in", "targetingKey", f.Listed), "on", "off"}}
	return object{"flags": byFlag(f, func(flag Flag) object {
		text := object{"state": "ENABLED", "variants": object{"on": true, "off": false}, "defaultVariant": "on"}
		switch flag.Case {
		case On:
		case Pct:
			text["targeting"] = tenth
		case Users:
			text["targeting"] = users
		default:
			text["targeting"] = rules
		}
		return text
	})}
}

func flagdContext(p *Person) map[string]any {
	return map[string]any{"targetingKey": p.Key, "country": p.Country, "plan": p.Plan, "build": p.Build}
}

func startFlagd(f *Fixture, text []byte) (*Running, error) {
	quiet := logger.NewLogger(nil, false)
	const source = "bench"
	flags, err := store.NewStore(quiet, []string{source})
	if err != nil {
		return nil, err
	}
	core := evaluator.NewJSON(quiet, flags)
	if err := core.SetState(sync.DataSync{FlagData: string(text), Source: source}); err != nil {
		return nil, err
	}
	who, people := make([]map[string]any, People), f.People
	for i := range who {
		who[i] = flagdContext(&people[i])
	}
	ctx := context.Background()
	r := &Running{Close: func() {}}
	for c := range Built {
		key := c.Key()
		r.Loops[c] = func(from, n int) (on int) {
			for i := from; i < from+n; i++ {
				if v, _, _, _, _ := core.ResolveBooleanValue(ctx, "", key, who[i&last]); v {
					on++
				}
			}
			return on
		}
	}
	key := Built.Key()
	r.Loops[Built] = func(from, n int) (on int) {
		for i := from; i < from+n; i++ {
			if v, _, _, _, _ := core.ResolveBooleanValue(ctx, "", key, flagdContext(&people[i&last])); v {
				on++
			}
		}
		return on
	}
	return r, nil
}
