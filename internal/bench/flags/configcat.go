// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"

	configcat "github.com/configcat/go-sdk/v9"
	"github.com/configcat/go-sdk/v9/configcattest"
)

var configCat = Peer{
	Name:    "ConfigCat client",
	Modules: []string{"github.com/configcat/go-sdk/v9"},
	Text:    configCatText, Start: startConfigCat,
}

func configCatText(f *Fixture) any {
	value := func(on bool) object { return object{"b": on} }
	tenth := list{object{"p": percent, "v": value(true)}, object{"p": 100 - percent, "v": value(false)}}
	when := func(attribute string, op configcat.Comparator, field string, value any) object {
		return object{"u": object{"a": attribute, "c": op, field: value}}
	}
	serving := func(conditions ...any) list {
		return list{object{"c": conditions, "s": object{"v": value(true)}}}
	}
	return object{"p": object{"s": "salt"}, "f": byFlag(f, func(flag Flag) object {
		text := object{"t": configcat.BoolSetting, "v": value(flag.Case == On)}
		switch flag.Case {
		case On:
		case Pct:
			text["p"] = tenth
		case Users:
			text["r"] = serving(when("Identifier", configcat.OpOneOf, "l", f.Listed))
		default:
			text["r"] = serving(when("Country", configcat.OpOneOf, "l", countries), when("plan", configcat.OpEq, "s", plan),
				when("build", configcat.OpGreaterEqNum, "d", minBuild))
			text["p"] = tenth
		}
		return text
	})}
}

func configCatUser(p *Person) *configcat.UserData {
	return &configcat.UserData{Identifier: p.Key, Country: p.Country, Custom: map[string]any{"plan": p.Plan, "build": p.Build}}
}

func startConfigCat(f *Fixture, text []byte) (*Running, error) {
	server := serve(text)
	defer server.Close()
	client := configcat.NewCustomClient(configcat.Config{
		SDKKey: configcattest.RandomSDKKey(), BaseURL: server.URL, PollingMode: configcat.Manual, LogLevel: configcat.LogLevelError,
	})
	if err := client.Refresh(context.Background()); err != nil {
		client.Close()
		return nil, err
	}
	who, people := make([]*configcat.UserData, People), f.People
	for i := range who {
		who[i] = configCatUser(&people[i])
	}
	r := &Running{Close: client.Close}
	for c := range Built {
		key := c.Key()
		r.Loops[c] = func(from, n int) (on int) {
			for i := from; i < from+n; i++ {
				if client.GetBoolValue(key, false, who[i&last]) {
					on++
				}
			}
			return on
		}
	}
	key := Built.Key()
	r.Loops[Built] = func(from, n int) (on int) {
		for i := from; i < from+n; i++ {
			if client.GetBoolValue(key, false, configCatUser(&people[i&last])) {
				on++
			}
		}
		return on
	}
	return r, nil
}
