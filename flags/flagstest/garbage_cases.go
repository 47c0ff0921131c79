// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flagstest

import (
	"errors"
	"fmt"

	"github.com/rheostat-go/rheostat/flags"
)

// rubbish is what is found where a flag should be.
var rubbish = []string{
	`{`, ``, `null`, `[]`, `"on"`, "\x00\xff", `{"enabled":"yes"}`, `{"enabled":true,"rollout":{"type":"percentage","percentage":101}}`,
	`{"enabled":true,"rollout":{"type":"percentage","percentage":-1}}`,
}

var garbageCases = []testCase{
	{
		name: "garbage leaves a flag as it was, and is a Problem", needs: []need{needRaw},
		why: "What cannot be read as a flag is a Problem of the Update with the flag's key. It is neither Removed nor left out of a " +
			"Full update without a word, takes no other flag along, and does not end Watch.",
		run: func(r *run) {
			r.write("a", 1)
			r.write("b", 1)
			w := r.watch(r.Source)
			w.shows(map[string]int{"a": 1, "b": 1})
			for i, text := range rubbish {
				n := i + 2
				r.raw(text)
				r.write("b", n)
				w.refuses("a", text)
				w.shows(map[string]int{"a": n - 1, "b": n})
				r.raw(textOf(form("a", n)))
				w.shows(map[string]int{"a": n, "b": n})
				w.accepts("a")
			}
		},
	},
	{
		name: "garbage that was there before is a Problem, too", needs: []need{needRaw},
		why: "A Watch that begins among garbage publishes the flags that are sound, and the others as Problems.",
		run: func(r *run) {
			r.write("a", 1)
			r.raw(`{`)
			r.write("b", 1)
			w := r.watch(r.Source)
			w.refuses("a", `{`)
			w.shows(map[string]int{"b": 1})
			r.raw(textOf(form("a", 2)))
			w.shows(map[string]int{"a": 2, "b": 1})
			w.accepts("a")
		},
	},
	{
		name: "a client goes on through garbage", needs: []need{needRaw},
		why: "With all of it together: a client keeps the last sound form of a flag, says what is wrong in its Status, and takes " +
			"the next sound form.",
		run: checkClient,
	},
}

// refuses waits until the flag is a Problem.
func (w *watch) refuses(key, text string) {
	w.r.Helper()
	w.await(func() string {
		p, ok := w.garbage[key]
		if !ok {
			return fmt.Sprintf("%q is %q, and no Problem", key, text)
		}
		if p.Warning || !errors.Is(p, flags.ErrInvalid) || p.Err == nil {
			return fmt.Sprintf("the Problem of %q says %+v: want an error that is no warning", key, p)
		}
		return ""
	})
}

// accepts waits until the flag is no Problem.
func (w *watch) accepts(key string) {
	w.r.Helper()
	w.await(func() string {
		if p, ok := w.garbage[key]; ok {
			return fmt.Sprintf("%q is sound again and still a Problem: %v", key, p)
		}
		return ""
	})
}

func checkClient(r *run) {
	on := func(key string, n int) bool { return formOf(r.stands(key)) == n }
	r.write("a", 1)
	r.write("b", 1)
	r.client()
	r.until("the client has the flags", func() bool { return on("a", 1) && on("b", 1) })
	r.raw(`{"enabled":`)
	r.until("the Status names the flag that is garbage", func() bool {
		for _, p := range r.running.Status().Problems {
			if p.Flag == "a" && !p.Warning {
				return true
			}
		}
		return false
	})
	if !on("b", 1) {
		r.Errorf("the other flag has gone along: it is %+v", r.stands("b"))
	}
	r.write("b", 2)
	r.until("the other flag is told", func() bool { return on("b", 2) })
	if !on("a", 1) {
		r.Errorf("the flag that is garbage has not kept its last form: it is %+v", r.stands("a"))
	}
	r.raw(textOf(form("a", 2)))
	r.until("the flag is sound again", func() bool { return on("a", 2) && len(r.running.Status().Problems) == 0 })
}
