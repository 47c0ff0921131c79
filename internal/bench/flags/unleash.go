// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"os"
	"strconv"
	"time"

	unleash "github.com/Unleash/unleash-client-go/v4"
	"github.com/Unleash/unleash-client-go/v4/api"
	"github.com/Unleash/unleash-client-go/v4/context"
)

// unleashClient is version 4, the last that was to be had; later ones are another module.
var unleashClient = Peer{
	Name:    "Unleash client",
	Modules: []string{"github.com/Unleash/unleash-client-go/v4"},
	Text:    unleashText, Start: startUnleash,
}

func unleashText(f *Fixture) any {
	var features list
	for _, flag := range f.Flags {
		rollout := func(percent int, constraints ...any) object {
			return object{"name": "flexibleRollout", "constraints": constraints, "parameters": object{
				"rollout": strconv.Itoa(percent), "stickiness": "userId", "groupId": flag.Key,
			}}
		}
		is := func(name string, op api.Operator, field string, value any) object {
			return object{"contextName": name, "operator": op, field: value}
		}
		var strategies list
		switch flag.Case {
		case On:
			strategies = list{object{"name": "default"}}
		case Pct:
			strategies = list{rollout(percent)}
		case Users:
			// The strategy userWithId would split its list of ids for each question.
			strategies = list{object{"name": "default", "constraints": list{is("userId", api.OperatorIn, "values", f.Listed)}}}
		default:
			strategies = list{object{"name": "default", "constraints": list{
				is("country", api.OperatorIn, "values", countries), is("plan", api.OperatorIn, "values", list{plan}),
				is("build", api.OperatorNumGte, "value", strconv.Itoa(minBuild)),
			}}, rollout(percent)}
		}
		features = append(features, object{"name": flag.Key, "enabled": true, "strategies": strategies})
	}
	return object{"version": 2, "features": features}
}

func unleashContext(p *Person) context.Context {
	return context.Context{UserId: p.Key, Properties: map[string]string{
		"country": p.Country, "plan": p.Plan, "build": strconv.FormatFloat(p.Build, 'f', -1, 64),
	}}
}

func startUnleash(f *Fixture, text []byte) (*Running, error) {
	server := serve(text)
	dir, err := os.MkdirTemp("", "unleash")
	if err != nil {
		return nil, err
	}
	client, err := unleash.NewClient(
		unleash.WithUrl(server.URL), unleash.WithAppName("bench"), unleash.WithBackupPath(dir), unleash.WithDisableMetrics(true),
		unleash.WithRefreshInterval(24*time.Hour), unleash.WithListener(&unleash.NoopListener{}),
	)
	if err != nil {
		return nil, err
	}
	client.WaitForReady()
	who, people := make([]context.Context, People), f.People
	for i := range who {
		who[i] = unleashContext(&people[i])
	}
	r := &Running{Close: func() {
		_ = client.Close() // it has nothing open
		server.Close()
		_ = os.RemoveAll(dir) // of the system's temporary files
	}}
	for c := range Built {
		key := c.Key()
		r.Loops[c] = func(from, n int) (on int) {
			for i := from; i < from+n; i++ {
				if client.IsEnabled(key, unleash.WithContext(who[i&last])) {
					on++
				}
			}
			return on
		}
	}
	key := Built.Key()
	r.Loops[Built] = func(from, n int) (on int) {
		for i := from; i < from+n; i++ {
			if client.IsEnabled(key, unleash.WithContext(unleashContext(&people[i&last]))) {
				on++
			}
		}
		return on
	}
	return r, nil
}
