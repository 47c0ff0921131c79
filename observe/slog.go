// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"log/slog"
)

// The attribute keys of every line that Slog writes. They are part of the API:
// log queries are built on them.
const (
	KeyService     = "service"
	KeyEnvironment = "environment"
	KeyRun         = "run"
	KeyRev         = "rev"
	KeyPhase       = "phase"
	KeyOutcome     = "outcome"
	KeyPlan        = "plan"
	KeyLane        = "lane"
	KeyStep        = "step"
	KeyWeight      = "weight"
	KeyVersion     = "version"
	KeyFrom        = "from"
	KeyCheck       = "check"
	KeyVerdict     = "verdict"
	KeyCause       = "cause"
	KeyReason      = "reason"
	KeyBy          = "by"
)

// Slog writes one line for each event; the message is the kind. What calls for a
// person is an error, drift and a failed task are warnings, all else is
// information. Attributes that say nothing are left out. With one target weight
// is a text such as "25%"; with several it is a group by target.
// A nil logger discards.
func Slog(l *slog.Logger) Observer {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return Func(func(ctx context.Context, e Event) error {
		level := Level(e)
		if l.Enabled(ctx, level) {
			l.LogAttrs(ctx, level, e.Kind.String(), e.attrs()...) //nolint:sloglint // the kinds are a closed set of messages
		}
		return nil
	})
}

// Level is how loud an event is.
func Level(e Event) slog.Level {
	switch {
	case e.Pages():
		return slog.LevelError
	case e.Kind == Drifted || e.Kind == TaskFailed:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// LogValue is the event as a group, for a log of your own.
func (e Event) LogValue() slog.Value { return slog.GroupValue(e.attrs()...) }

func (e Event) attrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 12)
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	text(KeyService, e.Service)
	text(KeyEnvironment, e.Environment)
	attrs = append(attrs, slog.Uint64(KeyRun, e.Run), slog.Uint64(KeyRev, e.Rev))
	text(KeyPhase, e.Phase)
	if e.Ends() {
		text(KeyOutcome, e.Outcome.String())
	}
	text(KeyPlan, e.Plan)
	text(KeyLane, e.Lane)
	text(KeyStep, e.Step)
	if w, ok := e.weight(); ok {
		attrs = append(attrs, w)
	}
	text(KeyVersion, e.Version)
	text(KeyFrom, e.From)
	text(KeyCheck, e.Check)
	text(KeyVerdict, e.Verdict)
	if e.Cause != CauseNone {
		text(KeyCause, e.Cause.String())
	}
	text(KeyReason, e.Reason)
	text(KeyBy, e.By)
	return attrs
}

func (e Event) weight() (slog.Attr, bool) {
	switch len(e.Shares) {
	case 0:
		return slog.Attr{}, false
	case 1:
		return slog.String(KeyWeight, e.Shares[0].percent()), true
	}
	group := make([]slog.Attr, len(e.Shares))
	for i, s := range e.Shares {
		group[i] = slog.String(s.Target, s.percent())
	}
	return slog.Attr{Key: KeyWeight, Value: slog.GroupValue(group...)}, true
}
