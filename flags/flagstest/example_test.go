// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagstest_test

import (
	"fmt"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/flagstest"
)

// example is the *testing.T that an example has not got. Tests have one.
type example struct{ testing.TB }

func (example) Helper()        {}
func (example) Cleanup(func()) {}

var t example

func ExampleFake() {
	newCheckout := flags.Bool("new-checkout", false)

	fake := flagstest.New(t).On("new-checkout").For("kim", "new-checkout", false)

	kim, lee := flags.User("kim"), flags.User("lee")
	fmt.Println(newCheckout.On(fake.Client(), &kim), newCheckout.On(fake.Client(), &lee))
	fmt.Println(fake.Exposures().Served("kim", "new-checkout"))
	// Output:
	// false true
	// off true
}

func ExampleAlwaysOn() {
	fmt.Println(flags.Bool("whatever", false).On(flagstest.AlwaysOn(t), nil))
	// Output:
	// true
}

func ExampleRecorder() {
	var seen flagstest.Recorder
	client, err := flags.New(flags.NewMemory(), flags.Options{Exposed: seen.Expose})
	if err != nil {
		panic(err)
	}
	kim := flags.User("kim")
	flags.Bool("new-checkout", false).On(client, &kim)
	for _, e := range seen.All() {
		fmt.Printf("%s for %s: %q, %s\n", e.Flag, e.Unit, e.Variant, e.Reason)
	}
	// Output:
	// new-checkout for kim: "", not ready
}

func ExampleRun() {
	test := func(t *testing.T) {
		t.Helper()
		flagstest.Run(t, func(*testing.T) flagstest.Subject {
			return flagstest.Subject{Source: flags.NewMemory()}
		})
	}
	_ = test // func TestMyStore(t *testing.T) { … }
	// Output:
}
