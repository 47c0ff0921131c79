// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagstest_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/flagstest"
)

var (
	checkout = flags.Bool("checkout", false)
	colour   = flags.String("colour", "grey")
	limit    = flags.Int("limit", 7)
	rate     = flags.Float("rate", 0.5)
)

func TestWhatIsSetIsInForceAtOnce(t *testing.T) {
	t.Parallel()
	fake := flagstest.New(t)
	c := fake.Client()
	kim, lee := flags.User("kim"), flags.User("lee")
	if checkout.On(c, &kim) || colour.Get(c, &kim) != "grey" || c.Status().Flags != 0 {
		t.Error("a fake has flags of its own")
	}
	fake.On("checkout").Set("colour", "red").Set("limit", 3).Set("rate", 0.25)
	if !checkout.On(c, &kim) || colour.Get(c, &kim) != "red" || limit.Get(c, &kim) != 3 || rate.Get(c, &kim) != 0.25 {
		t.Error("what was set is not in force")
	}
	fake.For("kim", "colour", "blue").For("kim", "checkout", false)
	if checkout.On(c, &kim) || !checkout.On(c, &lee) || colour.Get(c, &kim) != "blue" || colour.Get(c, &lee) != "red" {
		t.Error("a unit's own value is wrong, or another's")
	}
	fake.Off("checkout").For("lee", "checkout", true)
	if checkout.On(c, &kim) || !checkout.On(c, &lee) {
		t.Error("off but for one is wrong")
	}
	fake.Remove("colour")
	if d := colour.Eval(c, &kim); d.Value != "grey" || d.Reason != flags.NotFound {
		t.Errorf("a flag that was removed gives %+v", d)
	}
	fake.For("kim", "colour", "")
	if d := colour.Eval(c, &kim); d.Value != "" || d.Reason != flags.Targeted {
		t.Errorf("a unit's empty string comes as %+v", d)
	}
	if got := colour.Get(c, &lee); got != "grey" {
		t.Errorf("where only one unit has a value, another gets %q", got)
	}
	fake.Put(&flags.Flag{Key: "checkout", Enabled: true, Rollout: &flags.Rollout{Type: "users", Users: []string{"kim"}}})
	if !checkout.On(c, &kim) || checkout.On(c, &lee) {
		t.Error("a whole flag is wrong")
	}
}

func TestWhatASubtestSetsIsUndone(t *testing.T) {
	fake := flagstest.New(t).On("checkout").For("kim", "colour", "red")
	kim := flags.User("kim")
	t.Run("part", func(t *testing.T) {
		fake.In(t).Off("checkout").For("kim", "colour", "blue").Set("limit", 1)
		if c := fake.Client(); checkout.On(c, &kim) || colour.Get(c, &kim) != "blue" || limit.Get(c, &kim) != 1 {
			t.Error("what was set is not in force")
		}
	})
	if c := fake.Client(); !checkout.On(c, &kim) || colour.Get(c, &kim) != "red" || limit.Get(c, &kim) != 7 {
		t.Error("what the subtest has set outlives it")
	}
}

// refusal is a test that notes that it was ended.
type refusal struct {
	testing.TB
	said string
}

func (r *refusal) Helper() {}

func (r *refusal) Fatalf(format string, args ...any) {
	r.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestWhatCannotBeEndsTheTest(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(*flagstest.Fake){
		"two types":     func(f *flagstest.Fake) { f.Set("a", "x").For("kim", "a", 1) },
		"no JSON":       func(f *flagstest.Fake) { f.Set("a", func() {}) },
		"an unsound":    func(f *flagstest.Fake) { f.Put(&flags.Flag{Key: "a", Rollout: &flags.Rollout{Type: "x"}}) },
		"a missing key": func(f *flagstest.Fake) { f.On("") },
	} {
		r := &refusal{TB: t}
		fake := flagstest.New(r)
		var group sync.WaitGroup
		group.Go(func() { do(fake) })
		group.Wait()
		if r.said == "" {
			t.Errorf("%s: the test goes on", name)
		}
	}
}

func TestAFakeWorksInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := flagstest.New(t).On("checkout")
		if !checkout.On(fake.Client(), nil) {
			t.Error("it is off")
		}
	})
}

func TestAlwaysOnHasEveryBooleanOn(t *testing.T) {
	t.Parallel()
	c := flagstest.AlwaysOn(t)
	if !checkout.On(c, nil) || !c.Bool("anything", false, nil) {
		t.Error("a boolean is off")
	}
	if colour.Get(c, nil) != "grey" || limit.Get(c, nil) != 7 || rate.Get(c, nil) != 0.5 || c.Raw("x", nil).Value != nil {
		t.Error("another flag is no fallback")
	}
}

func TestARecorderKeepsExposures(t *testing.T) {
	t.Parallel()
	fake := flagstest.New(t).On("checkout").For("kim", "checkout", false)
	kim, lee := flags.User("kim"), flags.User("lee")
	checkout.On(fake.Client(), &kim)
	checkout.On(fake.Client(), &lee)
	colour.Get(fake.Client(), &lee)
	seen := fake.Exposures()
	if v, ok := seen.Served("kim", "checkout"); !ok || v != "off" {
		t.Errorf("kim was served %q, %v", v, ok)
	}
	if v, ok := seen.Served("lee", "colour"); !ok || v != "" {
		t.Errorf("lee was served %q, %v", v, ok)
	}
	if _, ok := seen.Served("kim", "colour"); ok {
		t.Error("kim was served what nobody asked for")
	}
	if len(seen.All()) != 3 || len(seen.Of("checkout")) != 2 {
		t.Errorf("the exposures are %v", seen.All())
	}
	seen.Reset()
	if len(seen.All()) != 0 {
		t.Error("what was reset is there")
	}
}
