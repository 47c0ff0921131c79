// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/internal/script"
)

// TestTraces plays the stories of testdata. Their commands:
//
//	publish            the document below is all there is; prints the problems
//	update [removed=k] the document below is what has changed
//	ask KEY user=… name=value…   value, variant, reason, rule
func TestTraces(t *testing.T) {
	t.Parallel()
	script.Each(t, "testdata/*.txt", func(t *testing.T) func(script.Cmd) string {
		t.Helper()
		s := newFeed(t)
		return func(cmd script.Cmd) string {
			switch cmd.Name {
			case "publish", "update":
				return s.tell(t, cmd)
			case "ask":
				return s.ask(cmd)
			default:
				return "unknown command " + cmd.Name
			}
		}
	})
}

// feed is a source that a test publishes by hand.
type feed struct {
	updates chan flags.Update
	taken   chan struct{}
	client  *flags.Client
}

func newFeed(tb testing.TB) *feed {
	tb.Helper()
	s := &feed{updates: make(chan flags.Update), taken: make(chan struct{})}
	var err error
	if s.client, err = flags.New(s, flags.Options{}); err != nil {
		tb.Fatal(err)
	}
	run(tb, s.client)
	return s
}

// run runs the client until the test ends.
func run(tb testing.TB, client *flags.Client) {
	tb.Helper()
	ctx, stop := context.WithCancel(tb.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = client.Run(ctx) // it ends with ctx
	}()
	tb.Cleanup(func() { stop(); <-done })
}

func (s *feed) Watch(ctx context.Context, publish func(flags.Update)) error {
	for {
		select {
		case u := <-s.updates:
			publish(u)
			s.taken <- struct{}{}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *feed) publish(u flags.Update) []flags.Problem {
	s.updates <- u
	<-s.taken
	return s.client.Status().Problems
}

func (s *feed) tell(t *testing.T, cmd script.Cmd) string {
	t.Helper()
	text := strings.Join(cmd.Input, "\n")
	if text == "" {
		text = `{"flags":{}}`
	}
	doc, err := flags.ParseDocument([]byte(text))
	if err != nil {
		return err.Error() + "\n"
	}
	u := flags.Update{Document: doc, Full: cmd.Name == "publish"}
	for _, a := range cmd.Args {
		if a.Key == "removed" {
			u.Removed = append(u.Removed, a.Value)
		}
	}
	var out strings.Builder
	for _, p := range s.publish(u) {
		kind := "error"
		if p.Warning {
			kind = "warning"
		}
		fmt.Fprintf(&out, "%s: %v\n", kind, p)
	}
	return out.String()
}

func (s *feed) ask(cmd script.Cmd) string {
	who := flags.Context{}
	if user, ok := cmd.Get("user"); ok {
		who = flags.User(user)
	}
	for _, a := range cmd.Args {
		if a.Key != "" && a.Key != "user" {
			who = who.With(a.Key, value(a.Value))
		}
	}
	d := s.client.Raw(cmd.Bare()[0], &who)
	words := []string{"default"}
	if d.Value != nil {
		words = []string{string(d.Value), d.Variant}
	}
	words = append(words, "("+d.Reason.String()+")")
	if d.Rule != "" {
		words = append(words, "rule "+d.Rule)
	}
	return strings.Join(words, " ") + "\n"
}

// value reads a word as JSON if it is a number or a boolean, else as it stands.
func value(word string) flags.Value {
	var v flags.Value
	if err := json.Unmarshal([]byte(word), &v); err == nil && slices.Contains([]flags.Kind{flags.NumberKind, flags.BoolKind}, v.Kind()) {
		return v
	}
	return flags.Text(strings.Trim(word, `'`))
}
