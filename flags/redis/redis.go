// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package redisflags

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rheostat-go/rheostat/flags"
)

// Options are what New has a default for.
type Options struct {
	// Prefix begins the keys of flags; "" is "feature:".
	Prefix string
	// Meta begins the other keys; "" is "features:". It must not begin with Prefix.
	Meta string
	// Hash is how flags are drawn that name no hash and that this package has not written; ""
	// is flags.Murmur3. Set it to flags.Java31 to keep the people of a program that draws so.
	Hash flags.Hash
	// AllowEmpty has a Redis without any flag believed, and flags that are missing after
	// features:version has gone back taken for deleted.
	AllowEmpty bool
	// MaxBytes is the longest value that is read or written, 0 means 1 MiB.
	MaxBytes int
	// Log is about how many writes features:log keeps, 0 means 10,000.
	Log int
	// Check is how often a watcher looks whether it has missed something, and Reload how
	// often it loads everything, which finds what other programs wrote. Both vary by a fifth. 0
	// means 30 s and 5 min.
	Check, Reload time.Duration
}

// ErrEmpty is returned by Watch for a Redis that has neither flags nor a version.
// See the package comment.
var ErrEmpty = errors.New("there are no flags and no version: data lost, another database or another prefix? put a flag, or set Options.AllowEmpty")

// Bounds of what one store holds or asks for.
const (
	batch      = 200       // values fetched at once
	maxKey     = 1024      // bytes of a flag's key
	maxFlags   = 1_000_000 // flags
	maxPending = 10_000    // flags that have changed and are not fetched yet: with more, all are
	maxCaught  = 1_000     // entries of the log that are caught up with: with more, all flags are loaded
)

// Store is flags in Redis. It is safe for many goroutines, and any number of processes may
// have one over the same keys. It holds no connection of its own and needs no Close.
type Store struct {
	client  redis.UniversalClient
	o       Options
	secrets []string

	mu   sync.Mutex
	kept *view // of the Watch that ended last
}

var _ flags.Store = (*Store)(nil)

// New is a store over the keys of o. It calls nothing. The client stays the caller's, and
// must be open for as long as the store is used.
func New(client redis.UniversalClient, o Options) (*Store, error) {
	s := &Store{client: client, o: o}
	if err := s.defaults(); err != nil {
		return nil, fmt.Errorf("redisflags: %w", err)
	}
	if err := s.inspect(); err != nil {
		return nil, fmt.Errorf("redisflags: client: %w", err)
	}
	return s, nil
}

// defaults fills the options in, or names the one that is wrong.
func (s *Store) defaults() error {
	o := &s.o
	if o.Prefix == "" {
		o.Prefix = "feature:"
	}
	if o.Meta == "" {
		o.Meta = "features:"
	}
	if strings.HasPrefix(o.Meta, o.Prefix) {
		return fmt.Errorf("Options.Meta: %q begins with Options.Prefix %q, and its keys would be taken for flags", o.Meta, o.Prefix)
	}
	if _, err := flags.Bucket(o.Hash, "", ""); err != nil {
		return fmt.Errorf("Options.Hash: %w", err)
	}
	for _, n := range []struct {
		name  string
		value int64
	}{{"MaxBytes", int64(o.MaxBytes)}, {"Log", int64(o.Log)}, {"Check", int64(o.Check)}, {"Reload", int64(o.Reload)}} {
		if n.value < 0 {
			return fmt.Errorf("%s is below 0; leave it 0 for the default", "Options."+n.name)
		}
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 20
	}
	if o.Log == 0 {
		o.Log = 10_000
	}
	if o.Check == 0 {
		o.Check = 30 * time.Second
	}
	if o.Reload == 0 {
		o.Reload = 5 * time.Minute
	}
	return nil
}

// inspect refuses clients that the store would not work with.
func (s *Store) inspect() error {
	var readTimeout time.Duration
	switch c := s.client.(type) {
	case nil:
		return errors.New("is nil")
	case *redis.Ring:
		return fmt.Errorf("a ring shares keys out over servers that know nothing of each other: %w", errors.ErrUnsupported)
	case *redis.ClusterClient:
		o := c.Options()
		s.secrets = append(s.secrets, o.Password)
		readTimeout = o.ReadTimeout
		if o.ReadOnly {
			return fmt.Errorf("it reads from replicas (ReadOnly, RouteByLatency or RouteRandomly), which tell old flags after new ones: %w", errors.ErrUnsupported)
		}
		if tag := hashTag(s.o.Prefix); tag == "" || tag != hashTag(s.o.Meta) {
			return fmt.Errorf("it is a cluster, and Options.Prefix %q and Options.Meta %q have no hash tag in common: use {flags}feature: and {flags}features: for them", s.o.Prefix, s.o.Meta)
		}
	case *redis.Client:
		s.secrets = append(s.secrets, c.Options().Password)
		readTimeout = c.Options().ReadTimeout
	default:
		return nil // somebody's own
	}
	if readTimeout <= 0 {
		return errors.New("it has no ReadTimeout: a call to a Redis that hangs would never end")
	}
	return nil
}

// hashTag is the part of a key that decides on its slot, if it is marked as such.
func hashTag(key string) string {
	_, rest, ok := strings.Cut(key, "{")
	if !ok {
		return ""
	}
	tag, _, ok := strings.Cut(rest, "}")
	if !ok {
		return ""
	}
	return tag
}

// The keys beside those of flags.
func (s *Store) versionKey() string { return s.o.Meta + "version" }
func (s *Store) channel() string    { return s.o.Meta + "changes" }
func (s *Store) logKey() string     { return s.o.Meta + "log" }

// failed is an error of Redis as callers see it: with what was done, and
// without secrets. What a context says comes first.
func (s *Store) failed(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("redisflags: %s: %w", doing, context.Cause(ctx))
	}
	text := err.Error()
	clean := text
	for _, secret := range s.secrets {
		if secret != "" {
			clean = strings.ReplaceAll(clean, secret, "***")
		}
	}
	if clean != text {
		err = errors.New(clean) // the error itself would tell
	}
	return fmt.Errorf("redisflags: %s: %w", doing, err)
}
