// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"fmt"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
)

// started is a client that has these flags.
func started(tb testing.TB, list ...*flags.Flag) *flags.Client {
	tb.Helper()
	client, err := flags.New(flags.NewMemory(list...), flags.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	run(tb, client)
	if err := client.Wait(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return client
}

func parse(tb testing.TB, key, text string) *flags.Flag {
	tb.Helper()
	f, err := flags.ParseFlag(key, []byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// crowd are the four cases that peers are measured with, among a thousand flags.
func crowd(tb testing.TB) []*flags.Flag {
	tb.Helper()
	users := ""
	for i := range 1000 {
		users += fmt.Sprintf(`,"user-%d"`, 2*i)
	}
	list := []*flags.Flag{
		parse(tb, "on", `{"enabled":true}`),
		parse(tb, "pct", `{"enabled":true,"rollout":{"type":"percentage","percentage":10}}`),
		parse(tb, "users", `{"enabled":true,"rollout":{"type":"users","users":[`+users[1:]+`]}}`),
		parse(tb, "rules", `{"enabled":true,"rules":[{"when":[{"attribute":"country","op":"in","values":["US","CA"]},
			{"attribute":"plan","op":"in","values":["pro"]},{"attribute":"build","op":"gte","values":[500]}],"variant":"on"}],
			"rollout":{"type":"percentage","percentage":10}}`),
	}
	for i := range 996 {
		list = append(list, parse(tb, fmt.Sprintf("flag-%d", i), `{"enabled":true}`))
	}
	return list
}

func people() []flags.Context {
	list := make([]flags.Context, 1024)
	for i := range list {
		country, plan := "US", "pro"
		if i%4 == 3 {
			country = "DE"
		}
		if i%3 == 2 {
			plan = "free"
		}
		list[i] = flags.User(fmt.Sprintf("user-%d", i)).Str("country", country).Str("plan", plan).Num("build", float64(i))
	}
	return list
}

func BenchmarkEvaluate(b *testing.B) {
	client := started(b, crowd(b)...)
	who := people()
	for _, key := range []string{"on", "pct", "users", "rules"} {
		handle := flags.Bool(key, false)
		b.Run("handle/"+key, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				handle.On(client, &who[i&1023])
				i++
			}
		})
		b.Run("key/"+key, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				client.Bool(key, false, &who[i&1023])
				i++
			}
		})
	}
	handle := flags.Bool("rules", false)
	b.Run("handle/rules+context", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			one := flags.User(who[i&1023].Key(), flags.Str("country", "US"), flags.Str("plan", "pro"), flags.Num("build", 512))
			handle.On(client, &one)
			i++
		}
	})
}
