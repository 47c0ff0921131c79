// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package nginx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

const (
	// longestDump bounds what is kept of a configuration that nginx prints.
	longestDump = 64 << 20
	// longestWord bounds what an error repeats of what a command said.
	longestWord = 2000
)

// bounded keeps the first bytes that are written to it.
type bounded struct {
	bytes.Buffer
	limit int
	over  bool
}

func (b *bounded) Write(p []byte) (int, error) {
	keep := min(len(p), b.limit-b.Len())
	b.over = b.over || keep < len(p)
	b.Buffer.Write(p[:keep])
	return len(p), nil
}

// run runs a command and returns what it printed. What it complained about is
// part of the error.
func (r *Router) run(ctx context.Context, args []string) (*bounded, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.o.Timeout, fmt.Errorf("not done after %v: %w", r.o.Timeout, context.DeadlineExceeded))
	defer cancel()
	out, said := &bounded{limit: longestDump}, &bounded{limit: longestWord}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // it is the owner's, by Options
	cmd.Stdout, cmd.Stderr = out, said
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case err == nil:
		return out, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	if text := strings.TrimSpace(said.String()); text != "" {
		return nil, fmt.Errorf("%s: %w: %s", args[0], err, text)
	}
	return nil, fmt.Errorf("%s: %w", args[0], err)
}

// dumpMark stands before each file in what nginx -T prints.
const dumpMark = "# configuration file "

// test lets nginx read the configuration as it is now on disk. A route that would
// change nothing, or would send requests to nowhere, fails where that can be seen.
func (r *Router) test(ctx context.Context, generation string, route traffic.Route) error {
	out, err := r.run(ctx, r.o.Test)
	if err != nil {
		return fmt.Errorf("the configuration is refused, and the route stays as it was: %w", err)
	}
	if out.over || !bytes.Contains(out.Bytes(), []byte(dumpMark)) {
		return nil // it does not tell
	}
	if !bytes.Contains(out.Bytes(), []byte(`"`+generation+`"`)) {
		return fmt.Errorf("%s: nginx does not read it; name it in an include directive within http", r.include)
	}
	// An arm that gets nothing may be gone already, above all on the way home.
	if route.Split.Candidate < traffic.Full && !hasUpstream(out.Bytes(), route.Arms.Stable) {
		return fmt.Errorf("arms.stable: nginx has no upstream %q", route.Arms.Stable)
	}
	if route.Split.Touches() && !hasUpstream(out.Bytes(), route.Arms.Candidate) {
		return fmt.Errorf("arms.candidate: nginx has no upstream %q", route.Arms.Candidate)
	}
	return nil
}

// hasUpstream looks for the block in a configuration. The name is one that check
// has let through.
func hasUpstream(config []byte, name string) bool {
	found, err := regexp.Match(`(?m)(?:^|[;{}])\s*upstream\s+["']?`+regexp.QuoteMeta(name)+`["']?\s*\{`, config)
	return found && err == nil
}

// reload tells nginx to read its configuration, and notes that. Before, it notes
// that nothing is certain any more.
func (r *Router) reload(ctx context.Context, l *lock, generation string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := l.setMark("?"); err != nil {
		return err
	}
	if r.o.PIDFile != "" {
		if err := signal(r.o.PIDFile); err != nil {
			return fmt.Errorf("options.pid_file: %w", err)
		}
	} else if _, err := r.run(ctx, r.o.Reload); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	// nginx has been told. Should the note fail, it is told once more with the
	// next Apply.
	_ = l.setMark(generation)
	return nil
}

// signal sends SIGHUP to the process that a file names.
func signal(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("%s holds no process id; is nginx running?", file)
	}
	// A file that was left behind may name a process that dies of SIGHUP.
	title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && !bytes.Contains(title, []byte("master process")) {
		return fmt.Errorf("process %d is no master process of nginx", pid)
	}
	if err := hangUp(pid); err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	return nil
}
