// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

func TestHandlesOfEveryTypeServeTheirVariant(t *testing.T) {
	t.Parallel()
	type limits struct{ RPS, Burst int }
	client := started(
		t,
		parse(t, "b", `{"enabled":true}`),
		parse(t, "s", `{"enabled":true,"variants":{"a":"red","b":"blue"},"default":{"variant":"b"}}`),
		parse(t, "i", `{"enabled":true,"variants":{"a":9007199254740993,"b":1e3},"default":{"variant":"a"}}`),
		parse(t, "f", `{"enabled":true,"variants":{"a":0.5},"default":{"variant":"a"}}`),
		parse(t, "j", `{"enabled":true,"variants":{"a":{"rps":7,"burst":9}},"default":{"variant":"a"}}`),
	)
	who := flags.User("kim")
	if !flags.Bool("b", false).On(client, &who) || !client.Bool("b", false, &who) {
		t.Error("boolean")
	}
	if got := flags.String("s", "").Get(client, &who) + client.String("s", "", &who); got != "blueblue" {
		t.Error(got)
	}
	// More than a float64 holds.
	if got := flags.Int("i", 0).Get(client, &who); got != 9007199254740993 || client.Int("i", 0, &who) != got {
		t.Error(got)
	}
	if got := flags.Float("f", 0).Get(client, &who); got != 0.5 || client.Float("f", 0, &who) != got {
		t.Error(got)
	}
	if got := flags.Float("i", 0).Get(client, &who); got != 9007199254740992 {
		t.Error("a whole number as a float:", got)
	}
	if got := flags.JSON("j", limits{}).Get(client, &who); got != (limits{7, 9}) {
		t.Error(got)
	}
	for key, d := range map[string]any{
		"b": client.BoolDetail("b", false, &who), "s": client.StringDetail("s", "", &who),
		"i": client.IntDetail("i", 0, &who), "f": client.FloatDetail("f", 0, &who),
	} {
		if want := fmt.Sprintf("%+v", map[string]any{
			"b": flags.Bool("b", false).Eval(client, &who), "s": flags.String("s", "").Eval(client, &who),
			"i": flags.Int("i", 0).Eval(client, &who), "f": flags.Float("f", 0).Eval(client, &who),
		}[key]); fmt.Sprintf("%+v", d) != want {
			t.Errorf("%s: %+v by key, %s by handle", key, d, want)
		}
	}
	if got := string(client.Raw("j", &who).Value); got != `{"rps":7,"burst":9}` {
		t.Error(got)
	}
	if got := flags.JSON("s", "").Get(client, &who); got != "blue" {
		t.Error(got)
	}
}

func TestAnotherTypeIsTheFallbackAndSaysSo(t *testing.T) {
	t.Parallel()
	client := started(
		t,
		parse(t, "s", `{"enabled":true,"variants":{"a":"red"},"default":{"variant":"a"},"version":3}`),
		parse(t, "f", `{"enabled":true,"variants":{"a":1,"b":1.5},"default":{"variant":"a"}}`),
	)
	who := flags.User("kim")
	if d := flags.Bool("s", true).Eval(client, &who); !d.Value || d.Reason != flags.TypeMismatch || d.Variant != "" || d.Version != 3 {
		t.Errorf("%+v", d)
	}
	// One variant that is no whole number is enough, whoever asks.
	if d := flags.Int("f", 7).Eval(client, &who); d.Value != 7 || d.Reason != flags.TypeMismatch {
		t.Errorf("%+v", d)
	}
	if got := client.Int("f", 7, &who); got != 7 {
		t.Error(got)
	}
	if !client.Bool("s", true, &who) || client.String("f", "x", &who) != "x" || client.Float("s", 2, &who) != 2 {
		t.Error("by key another type was served")
	}
	if d := flags.JSON("s", struct{ A int }{A: 5}).Eval(client, &who); d.Value.A != 5 || d.Reason != flags.TypeMismatch {
		t.Errorf("%+v", d)
	}
}

func TestNothingAtAllIsTheFallback(t *testing.T) {
	t.Parallel()
	flag := flags.String("s", "fallback")
	var none *flags.Client
	fresh, err := flags.New(flags.NewMemory(), flags.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for want, client := range map[flags.Reason]*flags.Client{flags.NotReady: none, flags.NotFound: started(t)} {
		if d := flag.Eval(client, nil); d.Value != "fallback" || d.Reason != want || !d.Reason.Failure() {
			t.Errorf("%+v, want %v", d, want)
		}
		if got := client.String("s", "fallback", nil); got != "fallback" {
			t.Error(got)
		}
		if d := client.Raw("s", nil); d.Value != nil || d.Reason != want {
			t.Errorf("%+v", d)
		}
	}
	if d := flag.Eval(fresh, nil); d.Reason != flags.NotReady {
		t.Errorf("before the first flags: %+v", d)
	}
	if _, ok := none.Flag("s"); ok || none.Status().Ready || none.Wait(t.Context()) == nil {
		t.Error("a nil client has something")
	}
	for range none.All(nil) {
		t.Error("a nil client has flags")
	}
	if _, err := flags.New(nil, flags.Options{}); err == nil {
		t.Error("a client without a source was made")
	}
}

func TestOneHandleServesManyClients(t *testing.T) {
	t.Parallel()
	on, off := started(t, parse(t, "f", `{"enabled":true}`)), started(t, parse(t, "f", `{"enabled":false}`))
	flag := flags.Bool("f", false)
	for range 3 {
		if !flag.On(on, nil) || flag.On(off, nil) {
			t.Fatal("the clients were mixed up")
		}
	}
}

func TestAnObjectIsDecodedOnceForEachStateOfTheFlags(t *testing.T) {
	t.Parallel()
	source := newFeed(t)
	publish := func(text string) {
		source.publish(flags.Update{Full: true, Document: flags.Document{Flags: map[string]*flags.Flag{"j": parse(t, "j", text)}}})
	}
	publish(`{"enabled":true,"variants":{"a":{"N":1}},"default":{"variant":"a"}}`)
	flag := flags.JSON[*struct{ N int }]("j", nil)
	first := flag.Get(source.client, nil)
	if again := flag.Get(source.client, nil); first == nil || again != first {
		t.Errorf("decoded again: %p %p", first, again)
	}
	publish(`{"enabled":true,"variants":{"a":{"N":2}},"default":{"variant":"a"}}`)
	if got := flag.Get(source.client, nil); got.N != 2 || first.N != 1 {
		t.Error(got, first)
	}
}

func TestEvaluationsDoNotAllocate(t *testing.T) { //nolint:paralleltest // counts allocations
	client := started(t, crowd(t)...)
	who := people()
	for _, key := range []string{"on", "pct", "users", "rules", "absent"} {
		flag, i := flags.Bool(key, false), 0
		if n := testing.AllocsPerRun(100, func() {
			i++
			c := flags.User(who[i&1023].Key()).Str("country", "US").Str("plan", "pro").Num("build", 512).Bool("beta", true)
			flag.On(client, &c)
			client.Bool(key, false, &c)
			_ = flag.Eval(client, &c)
			_ = client.Raw(key, &c)
			_ = client.BoolDetail(key, false, &c)
			_ = client.StringDetail(key, "", &c)
			_ = client.IntDetail(key, 0, &c)
			_ = client.FloatDetail(key, 0, &c)
		}); n != 0 {
			t.Errorf("%s: %v allocations", key, n)
		}
	}
}

func TestWritersAndReadersDoNotMeet(t *testing.T) {
	t.Parallel()
	// Two flags change together: whoever sees one must see the other.
	source := newFeed(t)
	publish := func(n int) {
		text := fmt.Sprintf(`{"flags":{
			"a":{"enabled":true,"version":%[1]d,"variants":{"x":%[1]d},"default":{"variant":"x"}},
			"b":{"enabled":true,"version":%[1]d,"prerequisites":[{"flag":"a","variants":["x"]}],"variants":{"x":%[1]d},"default":{"variant":"x"}}}}`, n)
		doc, err := flags.ParseDocument([]byte(text))
		if err != nil {
			t.Error(err)
		}
		source.publish(flags.Update{Document: doc, Full: n%2 == 0})
	}
	publish(1)
	a, b := flags.Int("a", 0), flags.Int("b", 0)
	var done atomic.Bool
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			who := flags.User("kim")
			for last := int64(0); !done.Load(); {
				first, then := a.Get(source.client, &who), b.Get(source.client, &who)
				if first < last || then < first {
					t.Errorf("%d after %d, then %d", first, last, then)
					return
				}
				last = then
			}
		})
	}
	for n := 2; n <= 500; n++ {
		publish(n)
	}
	done.Store(true)
	group.Wait()
}

func TestAClientStartsFromItsCacheAndKeepsIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "flags.json")
	options := flags.Options{Cache: path, OnProblem: func(err error) { t.Error(err) }}
	store := flags.NewMemory(parse(t, "f", `{"enabled":true,"team":"checkout"}`))
	client, err := flags.New(store, options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = client.Run(ctx) }()
	if err := client.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	stop() // the cache is written at the latest now
	<-done

	cold, err := flags.New(broken{}, flags.Options{Cache: path})
	if err != nil {
		t.Fatal(err)
	}
	if !cold.Bool("f", false, nil) {
		t.Error("the flag of the cache is not served")
	}
	if s := cold.Status(); !s.Cached || s.Ready || s.Flags != 1 {
		t.Errorf("%+v", s)
	}
	if f, _ := cold.Flag("f"); string(f.Extra["team"]) != `"checkout"` {
		t.Errorf("the cache lost a field: %s", f.Extra)
	}
}

func TestABrokenCacheIsReportedAndIsNoReasonNotToStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "flags.json")
	if err := os.WriteFile(path, []byte(`{"flags":{"f":`), 0o600); err != nil {
		t.Fatal(err)
	}
	var problem error
	client, err := flags.New(broken{}, flags.Options{Cache: path, OnProblem: func(err error) { problem = err }})
	if err != nil || problem == nil || !strings.Contains(problem.Error(), path) {
		t.Error(err, problem)
	}
	if client.Bool("f", false, nil) {
		t.Error("half a flag was served")
	}
}

// broken is a source that cannot be had.
type broken struct{}

var errDown = errors.New("connection refused")

func (broken) Watch(context.Context, func(flags.Update)) error { return errDown }

func TestASourceThatFailsIsAskedAgainAfterGrowingPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		begin := time.Now()
		source := sourceFunc(func(ctx context.Context, publish func(flags.Update)) error {
			at = append(at, time.Since(begin))
			if len(at) == 20 {
				publish(flags.Update{Full: true, Document: flags.Document{Flags: map[string]*flags.Flag{"f": {Key: "f", Enabled: true}}}})
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return errDown
		})
		client, err := flags.New(source, flags.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- client.Run(ctx) }()
		time.Sleep(time.Second)
		if s := client.Status(); !errors.Is(s.Err, errDown) || s.Ready {
			t.Errorf("%+v", s)
		}
		if err := client.Wait(ctx); err != nil {
			t.Error(err)
		}
		if s := client.Status(); s.Err != nil || !s.Ready || !client.Bool("f", false, nil) {
			t.Errorf("%+v", s)
		}
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		for i := 1; i < len(at); i++ {
			most := min(100*time.Millisecond<<(i-1), 30*time.Second)
			if gap := at[i] - at[i-1]; gap < most/2 || gap > most+time.Millisecond {
				t.Errorf("pause %d is %v, not within %v and %v", i, gap, most/2, most)
			}
		}
	})
}

type sourceFunc func(context.Context, func(flags.Update)) error

func (f sourceFunc) Watch(ctx context.Context, publish func(flags.Update)) error {
	return f(ctx, publish)
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	client, err := flags.New(broken{}, flags.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errDown)
	if err := client.Wait(ctx); !errors.Is(err, errDown) {
		t.Error(err)
	}
}

func TestChangesAreToldInOrder(t *testing.T) {
	t.Parallel()
	store := flags.NewMemory()
	client, err := flags.New(store, flags.Options{})
	if err != nil {
		t.Fatal(err)
	}
	run(t, client)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	f := &flags.Flag{Key: "f", Enabled: true}
	var got []string
	for f2 := range client.Changes(ctx, "f") {
		if f2 == nil {
			got = append(got, "none")
		} else {
			got = append(got, fmt.Sprint(f2.Version))
		}
		switch len(got) {
		case 1, 2:
			version, err := store.Put(ctx, f)
			if err != nil {
				t.Fatal(err)
			}
			f.Version = version
		case 3:
			if err := store.Delete(ctx, "f", 2); err != nil {
				t.Fatal(err)
			}
		case 4:
			stop()
		}
	}
	if !slices.Equal(got, []string{"none", "1", "2", "none"}) {
		t.Error(got)
	}
}

func TestExposuresAreToldWhereSomebodyListens(t *testing.T) {
	t.Parallel()
	var got []flags.Exposure
	client, err := flags.New(flags.NewMemory(parse(t, "f", `{"enabled":true,"rollout":{"type":"users","users":["kim"]}}`)), flags.Options{
		Exposed: func(e flags.Exposure) { got = append(got, e) },
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, client)
	if err := client.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	kim, lou := flags.User("kim"), flags.User("lou")
	flags.Bool("f", false).On(client, &kim)
	client.Bool("f", false, &lou)
	client.String("f", "", &lou)
	flags.Bool("g", false).On(client, &kim)
	for range client.All(&kim) { // is no exposure
		continue
	}
	want := []flags.Exposure{
		{Flag: "f", Variant: "on", Unit: "kim", Reason: flags.Targeted, Version: 1},
		{Flag: "f", Variant: "off", Unit: "lou", Reason: flags.Fallthrough, Version: 1},
		{Flag: "f", Unit: "lou", Reason: flags.TypeMismatch, Version: 1},
		{Flag: "g", Unit: "kim", Reason: flags.NotFound},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// vendor is somebody else's evaluator.
type vendor struct{}

func (vendor) Bool(_ string, _ bool, who flags.Context) flags.Detail[bool] {
	return flags.Detail[bool]{Value: who.Key() == "kim", Variant: "1", Reason: flags.Matched}
}

func (vendor) String(_, fallback string, _ flags.Context) flags.Detail[string] {
	return flags.Detail[string]{Value: fallback, Reason: flags.NotFound}
}

func (vendor) Int(string, int64, flags.Context) flags.Detail[int64] {
	return flags.Detail[int64]{Value: 5, Reason: flags.Static}
}

func (vendor) Float(string, float64, flags.Context) flags.Detail[float64] {
	return flags.Detail[float64]{Value: 2.5, Reason: flags.Static}
}

func (vendor) JSON(string, flags.Context) flags.Detail[json.RawMessage] {
	return flags.Detail[json.RawMessage]{Value: json.RawMessage(`{"N":3}`), Reason: flags.Static, Variant: "three"}
}

func TestAnotherEvaluatorServesUnderTheSameHandles(t *testing.T) {
	t.Parallel()
	var exposed []string
	client, err := flags.NewWith(vendor{}, flags.Options{Exposed: func(e flags.Exposure) { exposed = append(exposed, e.Flag+e.Variant) }})
	if err != nil {
		t.Fatal(err)
	}
	kim := flags.User("kim")
	if !flags.Bool("b", false).On(client, &kim) || flags.Bool("b", true).On(client, nil) || !client.Bool("b", false, &kim) {
		t.Error("boolean")
	}
	if d := flags.String("s", "mine").Eval(client, &kim); d.Value != "mine" || d.Reason != flags.NotFound {
		t.Errorf("%+v", d)
	}
	if flags.Int("i", 0).Get(client, nil) != 5 || client.Int("i", 0, nil) != 5 || client.Float("f", 0, nil) != 2.5 {
		t.Error("numbers")
	}
	if d := flags.JSON("j", struct{ N int }{}).Eval(client, nil); d.Value.N != 3 || d.Variant != "three" {
		t.Errorf("%+v", d)
	}
	if d := flags.JSON("j", []int{1}).Eval(client, nil); len(d.Value) != 1 || d.Reason != flags.TypeMismatch || d.Variant != "" {
		t.Errorf("%+v", d)
	}
	if d := client.Raw("j", nil); string(d.Value) != `{"N":3}` {
		t.Errorf("%+v", d)
	}
	if want := []string{"b1", "b1", "b1", "s", "i", "i", "f", "jthree", "j", "jthree"}; !slices.Equal(exposed, want) {
		t.Errorf("exposed %q", exposed)
	}
	if !client.Status().Ready || client.Wait(t.Context()) != nil {
		t.Error("it is not ready")
	}
	if _, err := flags.NewWith(vendor{}, flags.Options{Cache: "x"}); err == nil {
		t.Error("a cache of somebody else's flags")
	}
}

func TestAFlagInItsScheduleIsOnAndOutsideOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		client := started(t, &flags.Flag{Key: "f", Enabled: true, Schedule: []flags.Window{
			{From: now.Add(time.Hour), Until: now.Add(2 * time.Hour)}, {From: now.Add(3 * time.Hour)},
		}})
		var got []string
		for range 9 {
			d := flags.Bool("f", true).Eval(client, nil)
			got = append(got, fmt.Sprintf("%s %v %v", time.Since(now), d.Value, d.Reason))
			time.Sleep(30 * time.Minute)
		}
		want := "0s false scheduled,30m0s false scheduled,1h0m0s true fallthrough,1h30m0s true fallthrough," +
			"2h0m0s false scheduled,2h30m0s false scheduled,3h0m0s true fallthrough,3h30m0s true fallthrough,4h0m0s true fallthrough"
		if strings.Join(got, ",") != want {
			t.Errorf("%q", got)
		}
	})
}

// logic is a flag's decision in another language.
type logic struct{ variant string }

func (l logic) Decide(flags.Context) (string, flags.Reason, error) {
	return l.variant, flags.Matched, nil
}

func TestTheCacheGivesLogicBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "flags.json")
	if err := os.WriteFile(path, []byte(`{"flags":{"f":{"enabled":true,"default":{"variant":"off"}},"g":{"enabled":true}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var problems []error
	client, err := flags.New(broken{}, flags.Options{
		Cache: path, OnProblem: func(err error) { problems = append(problems, err) },
		Restore: func(f *flags.Flag) error {
			if f.Key == "g" {
				return errDown
			}
			f.Logic = logic{"on"}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := flags.Bool("f", false).Eval(client, nil); !d.Value || d.Reason != flags.Matched {
		t.Errorf("%+v", d)
	}
	if d := flags.Bool("g", false).Eval(client, nil); d.Value || d.Reason != flags.NotFound {
		t.Errorf("a flag that could not be restored: %+v", d)
	}
	if len(problems) != 1 || !errors.Is(problems[0], errDown) {
		t.Error(problems)
	}
}

func TestANumberIsDrawnAsItIsWritten(t *testing.T) {
	t.Parallel()
	client := started(t, parse(t, "f", `{"enabled":true,"by":"tenant","rollout":{"type":"percentage","percentage":50}}`))
	for n := range 50 {
		tenant := 1_000_000 * (n + 1)
		number, text := flags.User("kim").Num("tenant", float64(tenant)), flags.User("lou").Str("tenant", fmt.Sprint(tenant))
		if client.Bool("f", false, &number) != client.Bool("f", false, &text) {
			t.Errorf("%d is another tenant as a number", tenant)
		}
	}
}
