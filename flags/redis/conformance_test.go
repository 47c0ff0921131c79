// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package redisflags_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/flagstest"
	redisflags "github.com/rheostat-go/rheostat/flags/redis"
)

// quick has plain SETs told soon.
var quick = redisflags.Options{AllowEmpty: true, Reload: 100 * time.Millisecond, Check: time.Second}

// subject is the store with its hooks, but for those that break it.
func subject(t *testing.T, direct, through *redis.Client) flagstest.Subject {
	t.Helper()
	return flagstest.Subject{
		Source: newStore(t, through, quick),
		Raw: func(ctx context.Context, key, text string) error {
			return direct.Set(ctx, "feature:"+key, text, 0).Err()
		},
		Another: func(context.Context) (flags.Source, error) { return redisflags.New(through, quick) },
	}
}

func TestTheStoreKeepsTheLawOnAFakeRedis(t *testing.T) {
	t.Parallel()
	flagstest.Run(t, func(t *testing.T) flagstest.Subject {
		m, c := mini(t)
		s := subject(t, c, c)
		s.Break = func(context.Context) (func(), error) {
			m.Close()
			return sync.OnceFunc(func() {
				if err := m.Restart(); err != nil {
					t.Error(err)
				}
			}), nil
		}
		s.Restart = func(context.Context) error {
			m.Close()
			return m.Restart()
		}
		return s
	})
}

func TestTheStoreKeepsTheLaw(t *testing.T) {
	t.Parallel()
	flagstest.Run(t, func(t *testing.T) flagstest.Subject {
		r := startServer(t)
		s := subject(t, connect(t, r.address), connect(t, r.address))
		s.Settle = 20 * time.Second
		s.Break = func(context.Context) (func(), error) {
			r.kill()
			return sync.OnceFunc(r.start), nil
		}
		s.Restart = func(context.Context) error {
			r.kill()
			r.start()
			return nil
		}
		return s
	})
}

func TestTheStoreKeepsTheLawThroughAPartition(t *testing.T) {
	t.Parallel()
	flagstest.Run(t, func(t *testing.T) flagstest.Subject {
		r := startServer(t)
		p := startProxy(t, r.address)
		s := subject(t, connect(t, r.address), connect(t, p.Addr().String()))
		s.Settle = 20 * time.Second
		s.Break = func(context.Context) (func(), error) {
			p.hang(true)
			return sync.OnceFunc(func() { p.hang(false) }), nil
		}
		return s
	})
}
