// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/rheostat-go/rheostat/traffic/proxy"
)

// openAccess opens the log of -access-log, which is appended to. A name of "-" is
// stdout. A file that is moved away goes on being written to: rotate it by copying.
func openAccess(name string, stdout io.Writer) (access func(proxy.Access), done func() error, err error) {
	done = func() error { return nil }
	switch name {
	case "":
		return nil, done, nil
	case "-":
		return accessLog(stdout), done, nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640) //nolint:gosec // who starts the program names it
	if err != nil {
		return nil, done, fmt.Errorf("-access-log: %w", err)
	}
	return accessLog(f), f.Close, nil
}

// accessLog writes a line of JSON for each request; times are in seconds. One that
// cannot be written is lost, and its client is answered all the same.
func accessLog(w io.Writer) func(proxy.Access) {
	log := slog.New(slog.NewJSONHandler(w, nil))
	return func(a proxy.Access) {
		attrs := []slog.Attr{
			slog.String("client", a.Client), slog.String("method", a.Method), slog.String("host", a.Host), slog.String("path", a.Path),
			slog.String("arm", a.Arm), slog.String("backend", a.Backend), slog.Int("status", a.Status), slog.Int64("bytes", a.Bytes),
			slog.Float64("wait", a.Wait.Seconds()), slog.Float64("total", a.Total.Seconds()),
		}
		if a.Err != nil {
			attrs = append(attrs, slog.String("err", a.Err.Error()))
		}
		log.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
	}
}
