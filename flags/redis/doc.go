// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package redisflags keeps feature flags in Redis, in the JSON and under the keys that
// other programs already use: feature:<flag>.
//
//	rdb := redis.NewClient(&redis.Options{Addr: "redis:6379"})
//	store, err := redisflags.New(rdb, redisflags.Options{})
//	client, err := flags.New(store, flags.Options{Cache: "/var/cache/shop/flags.json"})
//	go client.Run(ctx)
//
// An evaluation never calls Redis: it reads what [Store.Watch] has handed to the
// client. While Redis is away, the last good flags stay.
//
// # Keys
//
//	key                  type     what
//	feature:<flag>       string   the flag in JSON
//	features:segments    string   all segments, {"name": {…}}
//	features:layers      string   all layers, likewise
//	features:holdouts    string   all holdouts, likewise
//	features:version     string   a number that each write raises, and gives the flag as its version
//	features:changes     channel  "<version> <id in the log> <key>" after each write
//	features:log         stream   who wrote what, when and why; about [Options].Log entries
//
// [Options] has the two prefixes. One Lua script does the whole of a write, so that no
// reader sees half of it.
//
// # Flags of other programs
//
// The simplest flag is {"enabled": true, "rollout": {"type": "percentage", "percentage": 10}},
// with the types all, percentage and users. Fields that are not known here are kept. A program
// may write flags with SET and DEL and know nothing of this package: they are told at the next
// full reload, within five minutes. It is told at once if the program adds
//
//	PUBLISH features:changes feature:new-checkout
//
// What this package writes ends with a field "_seal", a checksum over what stands before it.
// A flag without a seal, or with one that does not fit, was written by somebody else: its Version
// is a number of 16 digits drawn from its text. So compare-and-set holds against them, too:
// whoever read another text than the one that stands gets [flags.ErrConflict], even if the
// other program has kept the field "version" as it was. That program itself has no such guard.
//
// If the other program draws percentages with 31·h + c, as many do, set Options.Hash to
// [flags.Java31] to keep its people. It holds for flags with neither a hash nor a
// version, which this package has never written. Writing one here makes the hash part of the flag.
//
// # What may go wrong
//
// Messages are a hint. A watcher subscribes before it loads; messages have consecutive
// numbers, and after a gap, after each new connection and every 30 s it compares
// features:version and the last entry of the log with what it knows. Where they differ it asks the log
// which flags have changed, or loads everything if the log does not reach back.
// Every five minutes it loads everything anyway. A load reads in batches, and gives the
// client only what has changed. Bursts are told together: after each fetch a watcher rests ten
// times as long as that took, and up to 100 ms while messages crowd, so that watchers take the
// less of Redis, the slower it is.
//
// A value that is no flag, is longer than Options.MaxBytes or is no string is a
// [flags.Problem]; the flag keeps its last good form.
//
// A Redis with no flags and no features:version is not believed, because it looks
// like a cache that came back without its data, or like the wrong database: Watch returns
// [ErrEmpty], and clients keep what they have. The first Put ends that. Where features:version has gone
// back, as after a restore, what stands is believed, but a flag that is not there is not taken for deleted: it
// stays as a Problem until it is written or deleted. Options.AllowEmpty turns both off.
//
// # Cluster
//
// All keys must be in one slot, because a script cannot write to two: both prefixes need the same
// hash tag, such as "{flags}feature:" and "{flags}features:". New refuses a cluster without one,
// a client that reads from replicas, which would be told old flags after new ones, and a [redis.Ring].
// While the slot moves to another node, writes and loads may fail; no flag is lost by it.
//
// A load scans the whole database of the node. Give flags one of their own if there are millions of
// other keys in it.
package redisflags
