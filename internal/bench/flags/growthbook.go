// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"

	growthbook "github.com/growthbook/growthbook-golang"
)

var growthBook = Peer{
	Name:    "GrowthBook client",
	Modules: []string{"github.com/growthbook/growthbook-golang"},
	Text:    growthBookText, Start: startGrowthBook,
}

func growthBookText(f *Fixture) any {
	tenth := object{"force": true, "coverage": float64(percent) / 100, "hashAttribute": "id", "hashVersion": 2}
	return byFlag(f, func(flag Flag) object {
		text := object{"defaultValue": flag.Case == On}
		switch flag.Case {
		case On:
		case Pct:
			text["rules"] = list{tenth}
		case Users:
			text["rules"] = list{object{"condition": object{"id": object{"$in": f.Listed}}, "force": true}}
		default:
			text["rules"] = list{object{"force": true, "condition": object{
				"country": object{"$in": countries}, "plan": plan, "build": object{"$gte": minBuild},
			}}, tenth}
		}
		return text
	})
}

func growthBookAttributes(p *Person) growthbook.Attributes {
	return growthbook.Attributes{"id": p.Key, "country": p.Country, "plan": p.Plan, "build": p.Build}
}

func startGrowthBook(f *Fixture, text []byte) (*Running, error) {
	ctx := context.Background()
	client, err := growthbook.NewClient(ctx, growthbook.WithJsonFeatures(string(text)))
	if err != nil {
		return nil, err
	}
	// Whom it is for is a client of its own, which shares the flags.
	who, people := make([]*growthbook.Client, People), f.People
	for i := range who {
		if who[i], err = client.WithAttributes(growthBookAttributes(&people[i])); err != nil {
			return nil, err
		}
	}
	r := &Running{Close: func() { _ = client.Close() }} // it has nothing open
	for c := range Built {
		key := c.Key()
		r.Loops[c] = func(from, n int) (on int) {
			for i := from; i < from+n; i++ {
				if who[i&last].EvalFeature(ctx, key).On {
					on++
				}
			}
			return on
		}
	}
	key := Built.Key()
	r.Loops[Built] = func(from, n int) (on int) {
		for i := from; i < from+n; i++ {
			one, err := client.WithAttributes(growthBookAttributes(&people[i&last]))
			if err == nil && one.EvalFeature(ctx, key).On {
				on++
			}
		}
		return on
	}
	return r, nil
}
