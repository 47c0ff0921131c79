// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/flags"
)

// What a source, a store or a program may do that nobody would think of.

func document(list ...*flags.Flag) flags.Document {
	doc := flags.Document{Flags: make(map[string]*flags.Flag, len(list))}
	for _, f := range list {
		doc.Flags[f.Key] = f
	}
	return doc
}

func TestNothingInThePlaceOfSomethingIsAProblem(t *testing.T) {
	t.Parallel()
	source := newFeed(t)
	sound := flags.Document{
		Flags: map[string]*flags.Flag{"f": parse(t, "f", `{"enabled":true,"layer":{"layer":"l","from":0,"to":100},"holdouts":["h"],
			"rules":[{"when":[{"op":"segment","values":["s"]}],"variant":"on"}],"default":{"variant":"off"}}`)},
		Segments: map[string]*flags.Segment{"s": {Keys: []string{"kim"}}},
		Layers:   map[string]*flags.Layer{"l": {}}, Holdouts: map[string]*flags.Holdout{"h": {}},
	}
	source.publish(flags.Update{Full: true, Document: sound})
	problems := source.publish(flags.Update{Full: true, Document: flags.Document{
		Flags:    map[string]*flags.Flag{"f": nil, "g": nil},
		Segments: map[string]*flags.Segment{"s": nil}, Layers: map[string]*flags.Layer{"l": nil}, Holdouts: map[string]*flags.Holdout{"h": nil},
	}})
	var of []string
	for _, p := range problems {
		of = append(of, p.Path+p.Flag)
	}
	if want := []string{"segments.s", "layers.l", "holdouts.h", "f", "g"}; !slices.Equal(of, want) {
		t.Errorf("problems of %q", problems)
	}
	kim := flags.User("kim")
	if d := flags.Bool("f", false).Eval(source.client, &kim); d.Reason != flags.Matched {
		t.Errorf("it does not keep its last sound form: %+v", d)
	}
	var none *flags.Flag
	if none.Check() == nil {
		t.Error("no flag is sound")
	}
}

func TestAFlagUnderAnotherKeyIsAProblem(t *testing.T) {
	t.Parallel()
	source := newFeed(t)
	problems := source.publish(flags.Update{Full: true, Document: flags.Document{Flags: map[string]*flags.Flag{"f": {Key: "g", Enabled: true}}}})
	if len(problems) != 1 || problems[0].Flag != "f" || problems[0].Path != "key" {
		t.Error(problems)
	}
	if s := source.client.Status(); s.Flags != 0 {
		t.Errorf("%+v", s)
	}
}

func TestWhatStaysWrongIsToldOnce(t *testing.T) {
	t.Parallel()
	told := make(chan string, 9)
	source := &feed{updates: make(chan flags.Update), taken: make(chan struct{})}
	var err error
	source.client, err = flags.New(source, flags.Options{OnProblem: func(err error) { told <- err.Error() }})
	if err != nil {
		t.Fatal(err)
	}
	run(t, source.client)
	loop := func(key, needs string) *flags.Flag {
		return &flags.Flag{Key: key, Enabled: true, Prerequisites: []flags.Prerequisite{{Flag: needs, Variants: []string{"on"}}}}
	}
	source.publish(flags.Update{Document: document(&flags.Flag{Key: "f", Off: "none"}, loop("x", "y"), loop("y", "x"))})
	first := len(told)
	source.publish(flags.Update{Document: document(&flags.Flag{Key: "g"})})
	if first != 3 || len(told) != first || len(source.client.Status().Problems) != 3 {
		t.Errorf("told %d, then %d, of %q", first, len(told), source.client.Status().Problems)
	}
	// Wrong in another way is news.
	source.publish(flags.Update{Document: document(&flags.Flag{Key: "f", Hash: "md5", Off: "nobody"})})
	if len(told) != first+1 {
		t.Errorf("told %d", len(told))
	}
}

func TestStatusSaysWhenFlagsChangedLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFeed(t)
		f := &flags.Flag{Key: "f", Enabled: true}
		for i, step := range []struct {
			name    string
			update  flags.Update
			changes bool
			count   int
		}{
			{"the first flags", flags.Update{Full: true, Document: document(f, &flags.Flag{Key: "g"})}, true, 2},
			{"a problem", flags.Update{Document: flags.Document{Problems: []flags.Problem{{Flag: "f", Err: errDown}}}}, false, 2},
			{"the same flag", flags.Update{Document: document(f)}, false, 2},
			{"a flag that is refused", flags.Update{Document: document(&flags.Flag{Key: "f", Off: "none"})}, false, 2},
			{"another form", flags.Update{Document: document(&flags.Flag{Key: "f"})}, true, 2},
			{"a layer", flags.Update{Document: flags.Document{Layers: map[string]*flags.Layer{"l": {}}}}, true, 2},
			{"a flag less", flags.Update{Removed: []string{"f", "f", "unheard-of"}}, true, 1},
			{"none at all", flags.Update{Full: true}, true, 0},
		} {
			before := source.client.Status().Updated
			time.Sleep(time.Minute)
			source.publish(step.update)
			if s := source.client.Status(); s.Updated.After(before) != step.changes || s.Flags != step.count {
				t.Errorf("%d, %s: updated %v after %v, %d flags", i, step.name, s.Updated, before, s.Flags)
			}
		}
	})
}

func TestFlagsThatComeAndGoLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	source := newFeed(t)
	source.publish(flags.Update{Full: true, Document: document(&flags.Flag{Key: "stays", Enabled: true})})
	size := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const turns = 3000
	key := func(i int) string { return fmt.Sprintf("%d-%s", i, strings.Repeat("x", 10_000)) }
	before := size()
	for i := range turns {
		source.publish(flags.Update{Document: document(&flags.Flag{Key: key(i)}), Removed: []string{key(i - 1)}})
	}
	if grown := int64(size()) - int64(before); grown > turns*10_000/4 {
		t.Errorf("%d bytes of flags that are gone", grown)
	}
	if s := source.client.Status(); s.Flags != 2 || !source.client.Bool("stays", false, nil) {
		t.Errorf("%+v", s)
	}
	if _, ok := source.client.Flag(key(turns - 1)); !ok {
		t.Error("the last flag was lost")
	}
}

func TestAClientRunsOnceAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, err := flags.New(flags.NewMemory(), flags.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- client.Run(ctx) }()
		synctest.Wait()
		if err := client.Run(ctx); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("the second run: %v", err)
		}
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the first run: %v", err)
		}
		if err := client.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a run after the first has ended: %v", err)
		}
	})
}

func TestWhatASourcePublishesTooLateIsNotTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var left func(flags.Update)
		source := sourceFunc(func(ctx context.Context, publish func(flags.Update)) error {
			if left == nil {
				left = publish
				return nil // which is no reason to take it for good
			}
			publish(flags.Update{Full: true, Document: document(&flags.Flag{Key: "f", Version: 2})})
			<-ctx.Done()
			return context.Cause(ctx)
		})
		var told []error
		client, err := flags.New(source, flags.Options{OnProblem: func(err error) { told = append(told, err) }})
		if err != nil {
			t.Fatal(err)
		}
		run(t, client)
		if err := client.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		left(flags.Update{Full: true, Document: document(&flags.Flag{Key: "f", Version: 1})})
		if f, ok := client.Flag("f"); !ok || f.Version != 2 {
			t.Errorf("an older form came back: %+v", f)
		}
		if len(told) != 1 || !strings.Contains(told[0].Error(), "the source has ended") {
			t.Error(told)
		}
	})
}

func TestASourceThatCameBackIsAskedAgainSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls, ended := 0, time.Time{}
		source := sourceFunc(func(ctx context.Context, publish func(flags.Update)) error {
			if calls++; calls == 11 {
				if gap := time.Since(ended); gap > 100*time.Millisecond {
					t.Errorf("asked again after %v", gap)
				}
			}
			if calls == 10 {
				publish(flags.Update{Full: true})
			}
			if calls == 11 {
				<-ctx.Done()
			}
			ended = time.Now()
			return errDown
		})
		client, err := flags.New(source, flags.Options{})
		if err != nil {
			t.Fatal(err)
		}
		run(t, client)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if calls != 11 {
			t.Errorf("asked %d times", calls)
		}
	})
}

func TestHooksMayAskTheClient(t *testing.T) {
	t.Parallel()
	var client *flags.Client
	asked := 0
	options := flags.Options{
		OnProblem: func(error) {
			_ = client.Status()
			client.Bool("f", false, nil)
		},
		Exposed: func(e flags.Exposure) {
			if e.Flag == "f" {
				asked++
				client.Bool("g", false, nil)
				_ = client.Status()
				_ = client.Document()
			}
		},
	}
	source := &feed{updates: make(chan flags.Update), taken: make(chan struct{})}
	client, err := flags.New(source, options)
	if err != nil {
		t.Fatal(err)
	}
	source.client = client
	run(t, client)
	source.publish(flags.Update{Full: true, Document: document(&flags.Flag{Key: "f", Enabled: true}, &flags.Flag{Key: "g", Off: "none"})})
	if client.Bool("f", false, nil); asked != 2 {
		t.Errorf("the hooks were called %d times", asked)
	}
}

func TestALoopOverChangesIsLeftAtOnce(t *testing.T) {
	t.Parallel()
	client := started(t, &flags.Flag{Key: "f"})
	for range client.Changes(t.Context(), "f") {
		break
	}
	for range client.Changes(t.Context(), "absent") {
		break
	}
	for range client.All(nil) {
		break
	}
	var none *flags.Client
	for range none.Changes(t.Context(), "f") {
		t.Error("a nil client has changes")
	}
}

func TestOnlyChangesOfTheFlagAreChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newFeed(t)
		f := &flags.Flag{Key: "f", Enabled: true, Version: 1}
		source.publish(flags.Update{Full: true, Document: document(f)})
		var versions []int64
		go func() {
			for f := range source.client.Changes(t.Context(), "f") {
				versions = append(versions, f.Version)
			}
		}()
		for _, doc := range []flags.Document{document(&flags.Flag{Key: "g"}), document(f), document(&flags.Flag{Key: "f", Version: 2})} {
			synctest.Wait()
			source.publish(flags.Update{Document: doc})
		}
		synctest.Wait()
		if !slices.Equal(versions, []int64{1, 2}) {
			t.Error(versions)
		}
	})
}

func TestACopyOfAFlagSharesNothing(t *testing.T) {
	t.Parallel()
	f := new(flags.Flag)
	fill(reflect.ValueOf(f).Elem())
	f.Logic = logic{"on"}
	c := f.Clone()
	if !reflect.DeepEqual(f, c) {
		t.Errorf("got  %+v\nwant %+v", c, f)
	}
	apart(t, "Flag", reflect.ValueOf(f).Elem(), reflect.ValueOf(c).Elem())
	// What could not be written as JSON can be copied all the same.
	odd := &flags.Flag{
		Key: "odd", Variants: map[string]json.RawMessage{"a": json.RawMessage("{")}, Rollout: &flags.Rollout{Percentage: 2 * flags.Everybody},
		Rules: []flags.Rule{{When: []flags.Clause{{Attribute: "n", Op: flags.In, Values: []flags.Value{flags.Number(math.NaN())}}}}},
	}
	if c := odd.Clone(); string(c.Variants["a"]) != "{" || c.Rollout.Percentage != odd.Rollout.Percentage {
		t.Errorf("%+v", c)
	}
	if empty := (&flags.Flag{Variants: map[string]json.RawMessage{}}).Clone(); empty.Variants == nil {
		t.Error("a flag without variants became a boolean")
	}
}

// fill gives every field something.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[flags.Value]() {
			v.Set(reflect.ValueOf(flags.Text("value")))
			return
		}
		for _, field := range v.Fields() {
			if field.CanSet() {
				fill(field)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 9))
		fill(v.Index(0))
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("name"), value)
	case reflect.String:
		v.SetString("text")
	case reflect.Uint8:
		v.SetUint(7)
	}
}

// apart fails where two values share memory.
func apart(t *testing.T, path string, a, b reflect.Value) {
	t.Helper()
	switch a.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if a.Type() != reflect.TypeFor[*time.Location]() && a.Pointer() == b.Pointer() && !a.IsNil() {
			t.Errorf("%s is shared", path)
		}
	}
	switch a.Kind() {
	case reflect.Pointer:
		if !a.IsNil() && a.Type() != reflect.TypeFor[*time.Location]() {
			apart(t, path, a.Elem(), b.Elem())
		}
	case reflect.Struct:
		for i := range a.NumField() {
			apart(t, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
		}
	case reflect.Slice:
		for i := range a.Len() {
			apart(t, fmt.Sprintf("%s[%d]", path, i), a.Index(i), b.Index(i))
		}
	case reflect.Map:
		for _, key := range a.MapKeys() {
			apart(t, path+"."+key.String(), a.MapIndex(key), b.MapIndex(key))
		}
	}
}

func TestANumberThatCannotBeWrittenIsRefused(t *testing.T) {
	t.Parallel()
	for _, n := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, op := range []flags.Op{flags.In, flags.Less, flags.Before} {
			f := &flags.Flag{Key: "f", Rules: []flags.Rule{{
				When: []flags.Clause{{Attribute: "n", Op: op, Values: []flags.Value{flags.Number(n)}}}, Serve: flags.Serve{Variant: "on"},
			}}}
			if _, err := flags.NewMemory().Put(t.Context(), f); !errors.Is(err, flags.ErrInvalid) {
				t.Errorf("%s %v: %v", op, n, err)
			}
		}
		// In a context it is a number that nothing is equal to, or less than.
		who := flags.User("kim").Num("it", n)
		if holds(t, flags.Clause{Attribute: "it", Op: flags.In, Values: values(t, "0 1")}, who) ||
			n != math.Inf(-1) && holds(t, flags.Clause{Attribute: "it", Op: flags.AtMost, Values: values(t, "1e308")}, who) {
			t.Errorf("%v was taken for a number", n)
		}
	}
}

// BenchmarkUpdate is one flag of 100,000 that changes, from publish until an
// evaluation sees it.
func BenchmarkUpdate(b *testing.B) {
	const count = 100_000
	list := make([]*flags.Flag, count)
	for i := range list {
		list[i] = parse(b, fmt.Sprintf("flag-%d", i), `{"enabled":true,"rules":[{"when":[{"attribute":"plan","op":"in","values":["pro"]}],"variant":"on"}],"rollout":{"type":"percentage","percentage":10}}`)
	}
	source := newFeed(b)
	begin := time.Now()
	source.updates <- flags.Update{Full: true, Document: document(list...)}
	<-source.taken
	first := time.Since(begin)
	key := list[count/2].Key
	handle := flags.Bool(key, false)
	b.ReportAllocs()
	on := false
	for b.Loop() {
		on = !on
		source.updates <- flags.Update{Document: document(&flags.Flag{Key: key, Enabled: on})}
		<-source.taken
		if handle.On(source.client, nil) != on {
			b.Fatal("the update is not seen")
		}
	}
	b.ReportMetric(float64(first.Milliseconds()), "first-ms")
}

func TestAWriteMendsWhatWasWrongForThoseWhoComeLater(t *testing.T) {
	t.Parallel()
	doc, err := flags.ParseDocument([]byte(`{"flags":{"f":{"enabled":1},"g":{"enabled":2}}}`))
	if err != nil {
		t.Fatal(err)
	}
	store := new(flags.Memory)
	store.Replace(doc)
	if _, err := store.Put(t.Context(), &flags.Flag{Key: "f", Enabled: true}); err != nil {
		t.Fatal(err)
	}
	client, err := flags.New(store, flags.Options{})
	if err != nil {
		t.Fatal(err)
	}
	run(t, client)
	if err := client.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := client.Status().Problems; len(got) != 1 || got[0].Flag != "g" {
		t.Errorf("problems %v", got)
	}
}
