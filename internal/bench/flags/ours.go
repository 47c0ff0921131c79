// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"
	"errors"
	"sync"

	rheostat "github.com/rheostat-go/rheostat/flags"
)

const ourModule = "github.com/rheostat-go/rheostat"

var byHandle = Peer{Name: "rheostat, handle", Modules: []string{ourModule}, Text: ourText, Start: startHandles}

var byKey = Peer{Name: "rheostat, by key", Modules: []string{ourModule}, Text: ourText, Start: startKeys}

func ourText(f *Fixture) any {
	return object{"flags": byFlag(f, func(flag Flag) object { return ourFlag(f, flag, "") })}
}

// ourFlag is a flag as our package reads it. It draws with the hash, "" being the default.
func ourFlag(f *Fixture, flag Flag, hash rheostat.Hash) object {
	tenth := object{"type": "percentage", "percentage": percent}
	text := object{"enabled": true}
	if hash != "" {
		text["hash"] = hash
	}
	switch flag.Case.flag() {
	case On:
	case Pct:
		text["rollout"] = tenth
	case Users:
		text["rollout"] = object{"type": "users", "users": f.Listed}
	default:
		text["rollout"] = tenth
		text["rules"] = list{object{"variant": "on", "when": list{
			object{"attribute": "country", "op": "in", "values": countries},
			object{"attribute": "plan", "op": "in", "values": list{plan}},
			object{"attribute": "build", "op": "gte", "values": list{minBuild}},
		}}}
	}
	return text
}

// ourClient loads the flags and runs a client of them.
func ourClient(text []byte) (*rheostat.Client, *rheostat.Memory, func(), error) {
	doc, err := rheostat.ParseDocument(text)
	if err != nil {
		return nil, nil, nil, err
	}
	store := rheostat.NewMemory()
	store.Replace(doc)
	client, err := rheostat.New(store, rheostat.Options{})
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = client.Run(ctx) }) // it ends when it is told to
	stop := func() {
		cancel()
		running.Wait()
	}
	err = client.Wait(ctx)
	for _, problem := range client.Status().Problems {
		err = errors.Join(err, problem)
	}
	if err != nil {
		stop()
		return nil, nil, nil, err
	}
	return client, store, stop, nil
}

func ourContext(p *Person) rheostat.Context {
	return rheostat.User(p.Key, rheostat.Str("country", p.Country), rheostat.Str("plan", p.Plan), rheostat.Num("build", p.Build))
}

func ourContexts(f *Fixture) *[People]rheostat.Context {
	who := new([People]rheostat.Context)
	for i := range f.People {
		who[i] = ourContext(&f.People[i])
	}
	return who
}

func startHandles(f *Fixture, text []byte) (*Running, error) {
	client, _, stop, err := ourClient(text)
	if err != nil {
		return nil, err
	}
	who := ourContexts(f)
	r := &Running{Close: stop}
	for c := range Built {
		handle := rheostat.Bool(c.Key(), false)
		r.Loops[c] = func(from, n int) (on int) {
			for i := from; i < from+n; i++ {
				if handle.On(client, &who[i&last]) {
					on++
				}
			}
			return on
		}
	}
	handle, people := rheostat.Bool(Built.Key(), false), f.People
	r.Loops[Built] = func(from, n int) (on int) {
		for i := from; i < from+n; i++ {
			p := &people[i&last]
			who := rheostat.User(p.Key, rheostat.Str("country", p.Country), rheostat.Str("plan", p.Plan), rheostat.Num("build", p.Build))
			if handle.On(client, &who) {
				on++
			}
		}
		return on
	}
	r.Sweep = func() Loop { return sweepHandles(client, f, who) }
	return r, nil
}

func sweepHandles(client *rheostat.Client, f *Fixture, who *[People]rheostat.Context) Loop {
	handles := make([]*rheostat.BoolHandle, len(f.Flags))
	for i, key := range f.shuffled() {
		handles[i] = rheostat.Bool(key, false)
	}
	return func(from, n int) (on int) {
		at := from % len(handles)
		for i := from; i < from+n; i++ {
			if handles[at].On(client, &who[i&last]) {
				on++
			}
			if at++; at == len(handles) {
				at = 0
			}
		}
		return on
	}
}

func startKeys(f *Fixture, text []byte) (*Running, error) {
	client, _, stop, err := ourClient(text)
	if err != nil {
		return nil, err
	}
	who := ourContexts(f)
	r := &Running{Close: stop}
	for c := range Built {
		key := c.Key()
		r.Loops[c] = func(from, n int) (on int) {
			for i := from; i < from+n; i++ {
				if client.Bool(key, false, &who[i&last]) {
					on++
				}
			}
			return on
		}
	}
	key, people := Built.Key(), f.People
	r.Loops[Built] = func(from, n int) (on int) {
		for i := from; i < from+n; i++ {
			p := &people[i&last]
			who := rheostat.User(p.Key, rheostat.Str("country", p.Country), rheostat.Str("plan", p.Plan), rheostat.Num("build", p.Build))
			if client.Bool(key, false, &who) {
				on++
			}
		}
		return on
	}
	r.Sweep = func() Loop { return sweepKeys(client, f.shuffled(), who) }
	return r, nil
}

func sweepKeys(client *rheostat.Client, keys []string, who *[People]rheostat.Context) Loop {
	return func(from, n int) (on int) {
		at := from % len(keys)
		for i := from; i < from+n; i++ {
			if client.Bool(keys[at], false, &who[i&last]) {
				on++
			}
			if at++; at == len(keys) {
				at = 0
			}
		}
		return on
	}
}
