// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package redisflags

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// value is what is under a key.
type value struct {
	text   string
	absent bool
	err    error // it cannot be had whole, and never will be: another type, too long
}

// fetch reads strings, a batch at a time. It takes no more of a value than MaxBytes and one.
func (s *Store) fetch(ctx context.Context, names []string, each func(name string, v value)) error {
	for names := range slices.Chunk(names, batch) {
		if err := s.fetchBatch(ctx, names, each); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) fetchBatch(ctx context.Context, names []string, each func(name string, v value)) error {
	values := make([]value, len(names))
	// MGET would take 10 MB for an answer, and a list for nothing at all.
	empty, err := s.ask(ctx, names, values, func(p redis.Pipeliner, name string) *redis.StringCmd {
		return p.GetRange(ctx, name, 0, int64(s.o.MaxBytes))
	})
	if err != nil {
		return err
	}
	if len(empty) > 0 { // or not there, which only GET tells apart
		again := make([]string, len(empty))
		found := make([]value, len(empty))
		for i, at := range empty {
			again[i] = names[at]
		}
		if _, err = s.ask(ctx, again, found, func(p redis.Pipeliner, name string) *redis.StringCmd { return p.Get(ctx, name) }); err != nil {
			return err
		}
		for i, at := range empty {
			values[at] = found[i]
		}
	}
	for i, name := range names {
		each(name, values[i])
	}
	return nil
}

// ask sends one command for each name, and says which values came back empty.
func (s *Store) ask(ctx context.Context, names []string, values []value, send func(redis.Pipeliner, string) *redis.StringCmd) ([]int, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	p := s.client.Pipeline()
	answers := make([]*redis.StringCmd, len(names))
	for i, name := range names {
		answers[i] = send(p, name)
	}
	_, _ = p.Exec(ctx) // each answer has its own error
	var empty []int
	for i, a := range answers {
		text, err := a.Result()
		switch {
		case errors.Is(err, redis.Nil):
			values[i].absent = true
		case err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE"):
			values[i].err = errors.New("is not of Redis' type string")
		case err != nil:
			return nil, err
		case len(text) > s.o.MaxBytes:
			values[i].err = fmt.Errorf("is longer than %d bytes", s.o.MaxBytes)
		case text == "":
			empty = append(empty, i)
		default:
			values[i].text = text
		}
	}
	return empty, nil
}

// scan is the names of all flags' keys.
func (s *Store) scan(ctx context.Context) (map[string]struct{}, error) {
	var node redis.Cmdable = s.client
	if c, ok := s.client.(*redis.ClusterClient); ok { // whose own Scan asks any node
		master, err := c.MasterForKey(ctx, s.versionKey())
		if err != nil {
			return nil, err
		}
		node = master
	}
	keys := make(map[string]struct{})
	for cursor := uint64(0); ; {
		page, next, err := node.Scan(ctx, cursor, globbed(s.o.Prefix)+"?*", 1000).Result()
		if err != nil {
			return nil, err
		}
		for _, name := range page {
			keys[strings.TrimPrefix(name, s.o.Prefix)] = struct{}{}
		}
		if len(keys) > maxFlags {
			return nil, fmt.Errorf("there are more than %d keys that begin with %q", maxFlags, s.o.Prefix)
		}
		if cursor = next; cursor == 0 {
			return keys, nil
		}
	}
}

// globbed has a text mean itself in a pattern.
func globbed(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(text)
}

// stamp tells one state of the flags from another: the number of the last write, and its
// place in the log, which differs where a restored Redis counts the same numbers again.
type stamp struct {
	version int64
	entry   string
	present bool // there is a version
}

func (s *Store) stamp(ctx context.Context) (stamp, error) {
	if ctx.Err() != nil {
		return stamp{}, context.Cause(ctx)
	}
	p := s.client.Pipeline()
	version := p.Get(ctx, s.versionKey())
	entry := p.XRevRangeN(ctx, s.logKey(), "+", "-", 1)
	_, _ = p.Exec(ctx) // each answer has its own error
	var st stamp
	text, err := version.Result()
	switch {
	case errors.Is(err, redis.Nil):
	case err != nil:
		return stamp{}, err
	default:
		if st.version, err = strconv.ParseInt(text, 10, 64); err != nil || st.version < 0 {
			return stamp{}, fmt.Errorf("%s is %.20q and no count", s.versionKey(), text)
		}
		st.present = true
	}
	last, err := entry.Result()
	if err != nil {
		return stamp{}, err
	}
	if len(last) > 0 {
		st.entry = last[0].ID
	}
	return st, nil
}

// before reports whether Redis has gone back behind what was seen: it has lost data.
func (st stamp) before(seen stamp) bool {
	return seen.present && (!st.present || st.version < seen.version)
}

// caughtUp is the names that were written between two stamps, if the log has them all. It
// must have the first one, too: otherwise it is another history.
func (s *Store) caughtUp(ctx context.Context, from, to stamp) ([]string, bool, error) {
	if from.entry == "" || to.version <= from.version || to.version-from.version > maxCaught {
		return nil, false, nil
	}
	entries, err := s.client.XRangeN(ctx, s.logKey(), from.entry, to.entry, maxCaught+1).Result()
	if err != nil {
		return nil, false, err
	}
	names := make([]string, 0, len(entries))
	at := from.version - 1
	for _, e := range entries {
		name, _ := e.Values["key"].(string)
		number, _ := e.Values["version"].(string)
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil || version != at+1 {
			return nil, false, nil //nolint:nilerr // somebody else's entry: load everything
		}
		at = version
		if version > from.version {
			names = append(names, name)
		}
	}
	return names, at == to.version, nil
}
