// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package rollbacktest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/rollback"
)

var (
	v1 = rollback.Revision{ID: "1", Digest: "sha256:aa"}
	v2 = rollback.Revision{ID: "2", Digest: "sha256:bb"}
	v3 = rollback.Revision{ID: "3", Digest: "sha256:cc"}
)

func TestMemoryKeepsTheLaw(t *testing.T) {
	Run(t, func(*testing.T) Subject { return memory(20*time.Millisecond, nil) })
}

// funcs overrides single methods of a Memory.
type funcs struct {
	*rollback.Memory
	current   func(context.Context) (rollback.Revision, rollback.Token, error)
	history   func(context.Context) ([]rollback.Revision, error)
	preflight func(context.Context, rollback.Revision) error
	apply     func(context.Context, rollback.Revision, rollback.Token, string) (rollback.Token, error)
	observe   func(context.Context) (rollback.Status, error)
}

func (f *funcs) Current(ctx context.Context) (rollback.Revision, rollback.Token, error) {
	if f.current != nil {
		return f.current(ctx)
	}
	return f.Memory.Current(ctx)
}

func (f *funcs) History(ctx context.Context) ([]rollback.Revision, error) {
	if f.history != nil {
		return f.history(ctx)
	}
	return f.Memory.History(ctx)
}

func (f *funcs) Preflight(ctx context.Context, to rollback.Revision) error {
	if f.preflight != nil {
		return f.preflight(ctx, to)
	}
	return f.Memory.Preflight(ctx, to)
}

func (f *funcs) Apply(ctx context.Context, to rollback.Revision, expect rollback.Token, key string) (rollback.Token, error) {
	if f.apply != nil {
		return f.apply(ctx, to, expect, key)
	}
	return f.Memory.Apply(ctx, to, expect, key)
}

func (f *funcs) Observe(ctx context.Context) (rollback.Status, error) {
	if f.observe != nil {
		return f.observe(ctx)
	}
	return f.Memory.Observe(ctx)
}

func memory(startup time.Duration, change func(*funcs)) Subject {
	m := rollback.NewMemory(startup, v1, v2, v3)
	f := &funcs{Memory: m}
	if change != nil {
		change(f)
	}
	return Subject{Target: f, Touch: func(context.Context) error { m.Touch(); return nil }}
}

// rewriting applies with the token, revision or key that change makes of what was asked for.
func rewriting(change func(f *funcs, ctx context.Context, to *rollback.Revision, expect *rollback.Token, key *string)) func(*funcs) {
	return func(f *funcs) {
		f.apply = func(ctx context.Context, to rollback.Revision, expect rollback.Token, key string) (rollback.Token, error) {
			change(f, ctx, &to, &expect, &key)
			return f.Memory.Apply(ctx, to, expect, key)
		}
	}
}

// mutants break the law in one way each; caught names the case that has to say so.
var mutants = []struct {
	name, caught string
	change       func(*funcs)
}{
	{"gives all one name", "revisions have a name and a digest of their own", func(f *funcs) {
		f.history = func(ctx context.Context) ([]rollback.Revision, error) {
			history, err := f.Memory.History(ctx)
			for i := range history {
				history[i].ID = "latest"
			}
			return history, err
		}
	}},
	{"leaves out what runs", "the current revision is in the history", func(f *funcs) {
		f.history = func(ctx context.Context) ([]rollback.Revision, error) {
			history, err := f.Memory.History(ctx)
			return history[:len(history)-1], err
		}
	}},
	{"counts looks as changes", "looking writes nothing", func(f *funcs) {
		f.observe = func(ctx context.Context) (rollback.Status, error) { f.Touch(); return f.Memory.Observe(ctx) }
	}},
	{"lets nothing pass", "preflight lets a revision of the history pass", func(f *funcs) {
		f.preflight = func(context.Context, rollback.Revision) error { return rollback.ErrRefused }
	}},
	{"lets everything pass", "preflight refuses what does not exist", func(f *funcs) {
		f.preflight = func(context.Context, rollback.Revision) error { return nil }
	}},
	{"goes to the previous one", "apply goes to the revision that was asked for", rewriting(
		func(_ *funcs, _ context.Context, to *rollback.Revision, _ *rollback.Token, _ *string) { *to = v2 })},
	{"gives the old token", "apply gives the token to go on with", func(f *funcs) {
		f.apply = func(ctx context.Context, to rollback.Revision, expect rollback.Token, key string) (rollback.Token, error) {
			_, err := f.Memory.Apply(ctx, to, expect, key)
			return expect, err
		}
	}},
	{"deploys what does not exist", "apply refuses what does not exist", func(f *funcs) {
		f.apply = func(ctx context.Context, to rollback.Revision, expect rollback.Token, key string) (rollback.Token, error) {
			f.Deploy(to)
			return "9", nil
		}
	}},
	{"ignores the token", "a token from before a change is refused", rewriting(
		func(f *funcs, ctx context.Context, _ *rollback.Revision, expect *rollback.Token, _ *string) {
			_, *expect, _ = f.Memory.Current(ctx)
		})},
	{"compares revisions instead of tokens", "a token from before somebody else's change is refused", rewriting(
		func(f *funcs, ctx context.Context, _ *rollback.Revision, expect *rollback.Token, _ *string) {
			if current, token, _ := f.Memory.Current(ctx); current == v3 {
				*expect = token
			}
		})},
	{"forgets keys", "a key that was applied is applied", forgetful(false)},
	{"replays keys", "a key that was overtaken does nothing any more", forgetful(true)},
	{"takes a key for anything", "a key stands for one revision", func(f *funcs) {
		n := 0
		rewriting(func(_ *funcs, _ context.Context, _ *rollback.Revision, _ *rollback.Token, key *string) {
			n++
			*key += string(rune('a' + n))
		})(f)
	}},
	{"uses up keys that it refused", "a refused key is not used up", func(f *funcs) {
		used := map[string]bool{}
		f.apply = func(ctx context.Context, to rollback.Revision, expect rollback.Token, key string) (rollback.Token, error) {
			if used[key] {
				return expect, nil
			}
			used[key] = true
			return f.Memory.Apply(ctx, to, expect, key)
		}
	}},
	{"takes the revision for the key", "a new key goes back to where an old one had gone", rewriting(
		func(_ *funcs, _ context.Context, to *rollback.Revision, _ *rollback.Token, key *string) {
			*key = to.Digest
		})},
	{"checks, then acts", "one of many at once wins", func(f *funcs) {
		f.apply = func(ctx context.Context, to rollback.Revision, expect rollback.Token, key string) (rollback.Token, error) {
			_, token, err := f.Memory.Current(ctx)
			if err != nil || token != expect {
				return "", errors.Join(err, rollback.ErrConflict)
			}
			// Long enough for all racers to have checked.
			timer := time.NewTimer(20 * time.Millisecond)
			defer timer.Stop()
			<-timer.C
			f.Deploy(to)
			_, token, err = f.Memory.Current(ctx)
			return token, err
		}
	}},
	{"claims what it did not do", "a cancelled call changes nothing or everything", func(f *funcs) {
		f.apply = func(ctx context.Context, to rollback.Revision, expect rollback.Token, key string) (rollback.Token, error) {
			token, _ := f.Memory.Apply(ctx, to, expect, key)
			return token, nil
		}
	}},
	{"knows nothing and says so quietly", "a look that was cancelled is an error", func(f *funcs) {
		f.observe = func(ctx context.Context) (rollback.Status, error) {
			s, _ := f.Memory.Observe(ctx)
			return s, nil
		}
	}},
	{"shows the old status as new", "what was healthy before a change is not the change", func(f *funcs) {
		f.observe = func(ctx context.Context) (rollback.Status, error) {
			s, err := f.Memory.Observe(ctx)
			s.Observed = s.Generation
			return s, err
		}
	}},
	{"does not say what it runs", "what was gone back to becomes healthy", func(f *funcs) {
		f.observe = func(ctx context.Context) (rollback.Status, error) {
			s, err := f.Memory.Observe(ctx)
			s.Running = rollback.Revision{}
			return s, err
		}
	}},
}

// forgetful makes a target that applies a key anew, with the token it has.
func forgetful(evenIfOvertaken bool) func(*funcs) {
	return func(f *funcs) {
		n := 0
		seen := map[string]bool{}
		rewriting(func(f *funcs, ctx context.Context, to *rollback.Revision, expect *rollback.Token, key *string) {
			current, token, _ := f.Memory.Current(ctx)
			if seen[*key] && (evenIfOvertaken || current == *to) {
				*expect = token
				n++
			}
			seen[*key] = true
			*key += string(rune('a' + n))
		})(f)
	}
}

func TestEveryMutantIsCaughtByItsCase(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, m := range mutants {
		used[m.caught] = true
		i := slices.IndexFunc(checks, func(c check) bool { return c.name == m.caught })
		if i < 0 {
			t.Errorf("%s: there is no case %q", m.name, m.caught)
			continue
		}
		// A target that never becomes healthy is given up on sooner than a stranger's.
		err := checks[i].attempt(t.Context(), memory(20*time.Millisecond, m.change), 500*time.Millisecond)
		if err == nil {
			t.Errorf("%s: not caught by %q", m.name, m.caught)
		}
		t.Logf("%s: %v", m.name, err)
	}
	for _, c := range checks {
		if !used[c.name] {
			t.Errorf("no mutant shows that %q can fail", c.name)
		}
	}
}
