// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package launchdarkly_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldtestdata"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/launchdarkly"
)

// sdk is LaunchDarkly's own client with flags from memory and no events.
func sdk(tb testing.TB, data *ldtestdata.TestDataSource) *ld.LDClient {
	tb.Helper()
	client, err := offline(data)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

func offline(data *ldtestdata.TestDataSource) (*ld.LDClient, error) {
	return ld.MakeCustomClient("sdk-0000", ld.Config{
		DataSource: data, Events: ldcomponents.NoEvents(), Logging: ldcomponents.Logging().MinLevel(ldlog.None),
	}, 5*time.Second)
}

func behind(tb testing.TB, data *ldtestdata.TestDataSource, options launchdarkly.Options) *flags.Client {
	tb.Helper()
	evaluator, err := launchdarkly.New(sdk(tb, data), options)
	if err != nil {
		tb.Fatal(err)
	}
	client, err := flags.NewWith(evaluator, flags.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return client
}

func TestFlagsOfEveryTypeAreServedWithTheirReasons(t *testing.T) {
	t.Parallel()
	data := ldtestdata.DataSource()
	data.Update(data.Flag("on").On(true).VariationForAll(true))
	data.Update(data.Flag("off").On(false).OffVariation(true))
	data.Update(data.Flag("target").VariationForUser("u", true).FallthroughVariation(false))
	data.Update(data.Flag("rule").BooleanFlag().FallthroughVariation(false).IfMatch("plan", ldvalue.String("pro")).ThenReturn(true))
	data.Update(data.Flag("text").Variations(ldvalue.String("a"), ldvalue.String("b")).FallthroughVariationIndex(1))
	data.Update(data.Flag("int").ValueForAll(ldvalue.Int(7)))
	data.Update(data.Flag("float").ValueForAll(ldvalue.Float64(1.5)))
	data.Update(data.Flag("huge").ValueForAll(ldvalue.Float64(1e300)))
	data.Update(data.Flag("object").ValueForAll(ldvalue.ObjectBuild().SetInt("RPS", 100).Build()))
	data.Update(data.Flag("nothing").On(false).OffVariationIndex(9))
	c := behind(t, data, launchdarkly.Options{})
	who := flags.User("u").Str("plan", "pro")
	want := func(what string, got, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	boolean := func(key string) flags.Detail[bool] { return flags.Bool(key, false).Eval(c, &who) }
	want("on", boolean("on"), flags.Detail[bool]{Value: true, Variant: "0", Reason: flags.Fallthrough})
	want("off", boolean("off"), flags.Detail[bool]{Value: true, Variant: "0", Reason: flags.Disabled})
	want("target", boolean("target"), flags.Detail[bool]{Value: true, Variant: "0", Reason: flags.Targeted})
	want("rule", boolean("rule"), flags.Detail[bool]{Value: true, Variant: "0", Reason: flags.Matched, Rule: "rule0"})
	want("missing", boolean("missing"), flags.Detail[bool]{Reason: flags.NotFound})
	want("mismatch", boolean("text"), flags.Detail[bool]{Reason: flags.TypeMismatch})
	want("malformed", boolean("nothing"), flags.Detail[bool]{Reason: flags.Failed})
	want("text", flags.String("text", "").Eval(c, &who), flags.Detail[string]{Value: "b", Variant: "1", Reason: flags.Fallthrough})
	want("int", flags.Int("int", 1).Get(c, &who), int64(7))
	want("float", flags.Float("float", 1).Get(c, &who), 1.5)
	want("float as int", flags.Int("float", 3).Eval(c, &who), flags.Detail[int64]{Value: 3, Reason: flags.TypeMismatch})
	want("huge as int", flags.Int("huge", 3).Eval(c, &who), flags.Detail[int64]{Value: 3, Reason: flags.TypeMismatch})
	const exact = 1<<62 + 1
	want("fallback", flags.Int("missing", exact).Get(c, &who), int64(exact))
	type limit struct{ RPS int }
	want("object", flags.JSON("object", limit{}).Eval(c, &who), flags.Detail[limit]{Value: limit{100}, Variant: "0", Reason: flags.Fallthrough})
	want("raw", c.Raw("missing", &who), flags.Detail[json.RawMessage]{Reason: flags.NotFound})
	want("nobody", flags.Bool("on", false).Eval(c, nil), flags.Detail[bool]{Reason: flags.Anonymous})
}

// TestPrerequisitesAndExperimentsAreTold has flags that the test data's builder cannot make.
func TestPrerequisitesAndExperimentsAreTold(t *testing.T) {
	t.Parallel()
	data := ldtestdata.DataSource()
	data.UsePreconfiguredFlag(model(t, `{"key":"gate","on":false,"variations":[true,false],"offVariation":1,"version":1}`))
	data.UsePreconfiguredFlag(model(t, `{"key":"needs","on":true,"prerequisites":[{"key":"gate","variation":0}],
		"variations":[true,false],"offVariation":1,"fallthrough":{"variation":0},"version":1}`))
	experiment := `{"kind":"experiment","seed":1,"variations":[{"variation":0,"weight":100000,"untracked":false}]}`
	data.UsePreconfiguredFlag(model(t, `{"key":"trial","on":true,"variations":[true,false],"fallthrough":{"rollout":`+experiment+`},"version":1}`))
	data.UsePreconfiguredFlag(model(t, `{"key":"ruled","on":true,"variations":[true,false],"fallthrough":{"variation":1},"version":1,
		"rules":[{"clauses":[{"attribute":"key","op":"in","values":["u"]}],"rollout":`+experiment+`}]}`))
	c := behind(t, data, launchdarkly.Options{})
	who := flags.User("u")
	for key, want := range map[string]flags.Detail[bool]{
		"needs": {Variant: "1", Reason: flags.Prerequired},
		"trial": {Value: true, Variant: "0", Reason: flags.Split},
		"ruled": {Value: true, Variant: "0", Reason: flags.Split, Rule: "1"},
	} {
		if diff := cmp.Diff(want, flags.Bool(key, false).Eval(c, &who)); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
	}
}

func TestContextsMeanToLaunchDarklyWhatTheyMeanToUs(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	full := flags.User("u").Str("plan", "pro").Num("build", 512).Bool("staff", true).Time("since", at).
		Str("group", "a").Str("group", "b").Str("address.city", "Ulm").Str("address.zip", "1").Str("address.zip", "2")
	for _, c := range []struct {
		name    string
		options launchdarkly.Options
		who     flags.Context
		clause  string
		want    bool
	}{
		{"string", launchdarkly.Options{}, flags.User("u").Str("plan", "pro"), `{"attribute":"plan","op":"in","values":["pro"]}`, true},
		{"number", launchdarkly.Options{}, full, `{"attribute":"build","op":"greaterThan","values":[511]}`, true},
		{"boolean", launchdarkly.Options{}, full, `{"attribute":"staff","op":"in","values":[true]}`, true},
		{"time", launchdarkly.Options{}, full, `{"attribute":"since","op":"after","values":["2026-01-01T00:00:00Z"]}`, true},
		{"second value", launchdarkly.Options{}, full, `{"attribute":"group","op":"in","values":["b"]}`, true},
		{"second value, flat", launchdarkly.Options{Flat: true}, full, `{"attribute":"group","op":"in","values":["b"]}`, true},
		{"nested", launchdarkly.Options{}, full, `{"attribute":"/address/city","contextKind":"user","op":"in","values":["Ulm"]}`, true},
		{"nested list", launchdarkly.Options{}, full, `{"attribute":"/address/zip","contextKind":"user","op":"in","values":["2"]}`, true},
		{"flat", launchdarkly.Options{Flat: true}, full, `{"attribute":"address.city","op":"in","values":["Ulm"]}`, true},
		{"flat is not nested", launchdarkly.Options{Flat: true}, full, `{"attribute":"/address/city","contextKind":"user","op":"in","values":["Ulm"]}`, false},
		{"kind", launchdarkly.Options{Kind: "org"}, full, `{"attribute":"key","contextKind":"org","op":"in","values":["u"]}`, true},
		{"other kind", launchdarkly.Options{Kind: "org"}, full, `{"attribute":"key","contextKind":"user","op":"in","values":["u"]}`, false},
		{"key stays", launchdarkly.Options{}, flags.User("u").Str("key", "admin"), `{"attribute":"key","op":"in","values":["admin"]}`, false},
		{"kind stays", launchdarkly.Options{}, flags.User("u").Str("kind", "org"), `{"attribute":"kind","op":"in","values":["user"]}`, true},
		{"nobody", launchdarkly.Options{Nobody: "nobody"}, flags.Context{}, `{"attribute":"anonymous","op":"in","values":[true]}`, true},
	} {
		data := ldtestdata.DataSource()
		data.UsePreconfiguredFlag(model(t, `{"key":"f","on":true,"variations":[true,false],"fallthrough":{"variation":1},"version":1,
			"rules":[{"clauses":[`+c.clause+`],"variation":0}]}`))
		client := behind(t, data, c.options)
		if got := flags.Bool("f", !c.want).Get(client, &c.who); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestAClientThatIsNotReadyIsTold(t *testing.T) {
	t.Parallel()
	client, err := ld.MakeCustomClient("sdk-0000", ld.Config{Offline: true, Logging: ldcomponents.NoLogging()}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	evaluator, err := launchdarkly.New(client, launchdarkly.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := evaluator.Bool("f", true, flags.User("u")); !d.Value || d.Reason != flags.NotReady {
		t.Errorf("%+v", d)
	}
	if _, err := launchdarkly.New(nil, launchdarkly.Options{}); err == nil {
		t.Error("an evaluator of nothing")
	}
	if _, err := launchdarkly.New(client, launchdarkly.Options{Kind: "multi"}); err == nil || !strings.Contains(err.Error(), "Options.Kind") {
		t.Error(err)
	}
}

func TestManyMayEvaluateWhileFlagsChange(t *testing.T) {
	t.Parallel()
	data := ldtestdata.DataSource()
	c := behind(t, data, launchdarkly.Options{})
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			who := flags.User(fmt.Sprint(i)).Str("a.b", "c")
			for range 200 {
				c.Bool("f", false, &who)
				c.Raw("f", &who)
			}
		})
	}
	group.Go(func() {
		for i := range 100 {
			data.Update(data.Flag("f").VariationForAll(i%2 == 0))
		}
	})
	group.Wait()
}

func Example() {
	data := ldtestdata.DataSource()
	data.Update(data.Flag("new-checkout").BooleanFlag().FallthroughVariation(false).IfMatch("plan", ldvalue.String("pro")).ThenReturn(true))
	sdk, err := offline(data) // or the SDK's MakeClient, with a key
	if err != nil {
		panic(err)
	}
	defer func() { _ = sdk.Close() }()

	evaluator, err := launchdarkly.New(sdk, launchdarkly.Options{})
	if err != nil {
		panic(err)
	}
	client, err := flags.NewWith(evaluator, flags.Options{})
	if err != nil {
		panic(err)
	}
	newCheckout := flags.Bool("new-checkout", false)
	who := flags.User("user-42").Str("plan", "pro")
	fmt.Println(newCheckout.On(client, &who), newCheckout.Eval(client, &who).Reason)
	// Output: true rule
}

func BenchmarkEvaluator(b *testing.B) {
	data := ldtestdata.DataSource()
	data.Update(data.Flag("on").On(true).VariationForAll(true))
	c := behind(b, data, launchdarkly.Options{})
	on := flags.Bool("on", false)
	for name, who := range map[string]flags.Context{
		"key": flags.User("user-42"), "three": flags.User("user-42").Str("country", "US").Str("plan", "pro").Num("build", 512),
		"nested": flags.User("user-42").Str("address.city", "Ulm").Str("plan", "pro"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				on.On(c, &who)
			}
		})
	}
}
