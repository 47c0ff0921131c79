// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package redisflags

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rheostat-go/rheostat/flags"
)

// write is every write of a flag. It does nothing unless the text that its caller has
// read still stands. What could fail comes before what others see, since Redis takes nothing back.
//
// KEYS: the flag, the version, the log. ARGV: 1 the SHA-1 of what stands, "" for nothing;
// 2 the version to go beyond; 3 the flag without its opening brace, "" to delete it; 4 the nonce;
// 5 the channel; 6 the log's length; 7 who; 8 why.
var write = redis.NewScript(`
local stands = redis.call('GET', KEYS[1])
if (stands and redis.sha1hex(stands) or '') ~= ARGV[1] then
  return ''
end
local n = redis.call('INCR', KEYS[2])
if n <= tonumber(ARGV[2]) then
  n = tonumber(ARGV[2]) + 1
  redis.call('SET', KEYS[2], string.format('%.0f', n))
end
local version = string.format('%.0f', n)
local id = redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*',
  'version', version, 'key', KEYS[1], 'do', ARGV[3] == '' and 'delete' or 'put', 'by', ARGV[7], 'why', ARGV[8])
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
else
  local text = '{"version":' .. version .. ',' .. ARGV[3]
  local seal = string.sub(redis.sha1hex(text), 1, 16) .. ARGV[4]
  redis.call('SET', KEYS[1], string.sub(text, 1, -2) .. ',"_seal":"' .. seal .. '"}')
end
redis.call('PUBLISH', ARGV[5], version .. ' ' .. id .. ' ' .. KEYS[1])
return version
`)

// define writes segments, layers and holdouts; the keys of those that are given follow
// the version and the log in KEYS, and their texts follow in ARGV.
var define = redis.NewScript(`
for i = 3, #KEYS do
  local version = string.format('%.0f', redis.call('INCR', KEYS[1]))
  local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'version', version, 'key', KEYS[i], 'do', 'put')
  redis.call('SET', KEYS[i], ARGV[i])
  redis.call('PUBLISH', ARGV[1], version .. ' ' .. id .. ' ' .. KEYS[i])
end
return ''
`)

// maxNote bounds what the log keeps of who and why.
const maxNote = 1024

func note(text string) string {
	if len(text) > maxNote {
		return strings.ToValidUTF8(text[:maxNote], "") + "…"
	}
	return text
}

// Get is the flag as it stands, flags.ErrNotFound, or a flags.Problem if it is no
// flag. The caller may change it.
func (s *Store) Get(ctx context.Context, key string) (*flags.Flag, error) {
	st, err := s.look(ctx, key)
	if err != nil {
		return nil, s.failed(ctx, "get "+strconv.Quote(key), err)
	}
	if p, is := st.problem(key); is {
		return nil, p
	}
	if st.flag == nil {
		return nil, fmt.Errorf("redisflags: %q: %w", key, flags.ErrNotFound)
	}
	return st.flag, nil
}

func (s *Store) look(ctx context.Context, key string) (st standing, err error) {
	err = s.fetch(ctx, []string{s.o.Prefix + key}, func(_ string, v value) { st = s.read(key, v) })
	return st, err
}

// Put writes a flag if it is based on the version that stands, 0 meaning that there is none,
// and returns the new version. Versions rise over all flags. Otherwise, and where something
// stands that is no flag, it is flags.ErrConflict. Segments and the like are written with [Store.Define].
func (s *Store) Put(ctx context.Context, f *flags.Flag) (int64, error) {
	if ctx.Err() != nil {
		return 0, fmt.Errorf("redisflags: put %q: %w", f.Key, context.Cause(ctx))
	}
	if err := f.Check(); err != nil {
		return 0, err
	}
	if len(f.Key) > maxKey {
		return 0, flags.Problem{Flag: f.Key[:32] + "…", Path: "key", Err: fmt.Errorf("is longer than %d bytes", maxKey)}
	}
	st, err := s.based(ctx, f.Key, f.Version)
	if err != nil {
		return 0, err
	}
	next := f.Clone()
	next.Touch(st.flag, time.Now())
	text, err := body(next)
	if err != nil {
		return 0, flags.Problem{Flag: f.Key, Err: err}
	}
	if room := s.o.MaxBytes - len(`{"version":,`) - 16 - sealLength; len(text) > room {
		return 0, flags.Problem{Flag: f.Key, Err: fmt.Errorf("is longer than Options.MaxBytes, %d, allows", s.o.MaxBytes)}
	}
	return s.write(ctx, "put", f, st, text)
}

// Delete removes the flag if version is the one that stands, else flags.ErrConflict; if there
// is none, flags.ErrNotFound.
func (s *Store) Delete(ctx context.Context, key string, version int64) error {
	if ctx.Err() != nil {
		return fmt.Errorf("redisflags: delete %q: %w", key, context.Cause(ctx))
	}
	st, err := s.look(ctx, key)
	switch {
	case err != nil:
		return s.failed(ctx, "delete "+strconv.Quote(key), err)
	case st.flag == nil && st.err == nil:
		return fmt.Errorf("redisflags: %q: %w", key, flags.ErrNotFound)
	case st.flag == nil || st.flag.Version != version:
		return conflict(key, version, st)
	}
	_, err = s.write(ctx, "delete", &flags.Flag{Key: key, Version: version}, st, "")
	return err
}

// based is what stands, if it is of that version.
func (s *Store) based(ctx context.Context, key string, version int64) (standing, error) {
	st, err := s.look(ctx, key)
	if err != nil {
		return st, s.failed(ctx, "put "+strconv.Quote(key), err)
	}
	if st.err != nil || st.flag == nil && version != 0 || st.flag != nil && st.flag.Version != version {
		return st, conflict(key, version, st)
	}
	return st, nil
}

func conflict(key string, version int64, st standing) error {
	switch {
	case st.err != nil:
		return fmt.Errorf("redisflags: %q: what stands is no flag, repair or delete it in Redis: %w: %w", key, flags.ErrConflict, st.err)
	case st.flag == nil:
		return fmt.Errorf("redisflags: %q: version %d of no flag: %w", key, version, flags.ErrConflict)
	default:
		return fmt.Errorf("redisflags: %q: version %d after %d: %w", key, version, st.flag.Version, flags.ErrConflict)
	}
}

// write runs the script over what stands, and returns the version.
func (s *Store) write(ctx context.Context, doing string, f *flags.Flag, st standing, text string) (int64, error) {
	nonce := newNonce()
	answer, err := write.Run(ctx, s.client, []string{s.o.Prefix + f.Key, s.versionKey(), s.logKey()},
		st.sum.hex(), st.count, text, nonce, s.channel(), s.o.Log, note(f.UpdatedBy), note(f.Why)).Text()
	if err != nil {
		return 0, s.failed(ctx, doing+" "+strconv.Quote(f.Key), err)
	}
	if answer == "" {
		return s.written(ctx, f, nonce)
	}
	version, err := strconv.ParseInt(answer, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("redisflags: %s %q: the script says %.20q", doing, f.Key, answer)
	}
	return version, nil
}

// written is for a write that found something else. The client sends a command
// again whose reply was lost, so it may have been this write itself.
func (s *Store) written(ctx context.Context, f *flags.Flag, nonce string) (int64, error) {
	st, err := s.look(ctx, f.Key)
	switch {
	case err != nil:
		return 0, s.failed(ctx, "look at "+strconv.Quote(f.Key), err)
	case st.nonce == nonce:
		return st.count, nil
	default:
		return 0, conflict(f.Key, f.Version, st)
	}
}

// Define writes the segments, layers and holdouts of doc, each kind as a whole; a kind that is
// nil stays as it is. Its flags are ignored. There are no versions: the last writer
// wins. What is not sound is flags.ErrInvalid, and nothing is written.
func (s *Store) Define(ctx context.Context, doc flags.Document) error {
	doc.Flags = map[string]*flags.Flag{}
	var problems []error
	for _, p := range doc.Check() {
		if !p.Warning {
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	keys := []string{s.versionKey(), s.logKey()}
	args := []any{s.channel(), s.o.Log}
	for _, g := range []struct {
		name  string
		given bool
		value any
	}{
		{groups[0], doc.Segments != nil, doc.Segments}, {groups[1], doc.Layers != nil, doc.Layers}, {groups[2], doc.Holdouts != nil, doc.Holdouts},
	} {
		if !g.given {
			continue
		}
		text, err := json.Marshal(g.value)
		if err == nil && len(text) > s.o.MaxBytes {
			err = fmt.Errorf("are longer than Options.MaxBytes, %d", s.o.MaxBytes)
		}
		if err != nil {
			return flags.Problem{Path: g.name, Err: err}
		}
		keys, args = append(keys, s.o.Meta+g.name), append(args, text)
	}
	if len(args) == 2 {
		return nil
	}
	if err := define.Run(ctx, s.client, keys, args...).Err(); err != nil {
		return s.failed(ctx, "define", err)
	}
	return nil
}
