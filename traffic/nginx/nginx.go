// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package nginx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rheostat-go/rheostat/traffic"
)

// What Options stand for where they say nothing.
const (
	defaultVariable = "rheostat_arm"
	defaultShutdown = 10 * time.Second
	defaultTimeout  = 30 * time.Second
	// seenHandover is how long both old and new workers take connections after a
	// new one was seen. nginx itself waits 0.1 s before it tells the old ones.
	seenHandover = time.Second
	// unseenHandover also has the time that nginx takes to read its configuration.
	unseenHandover = 5 * time.Second
)

// Options are what New has a default for.
type Options struct {
	// Variable is the name, without $, of the variable that holds the upstream.
	// The names of all others begin with it, so that each route of one nginx needs
	// its own: a lower case letter, then letters, digits and underscores. The
	// default is "rheostat_arm".
	Variable string
	// Test is the command that tests the configuration with the include in place.
	// If it prints the configuration, as nginx -T does, the router also sees
	// whether nginx reads the include and has the upstreams. The default is
	// {"nginx", "-T"}; name the file with -c if it is not nginx's own.
	Test []string
	// Reload is the command that makes nginx read its configuration again, such as
	// {"systemctl", "reload", "nginx"}. The default is {"nginx", "-s", "reload"}.
	Reload []string
	// PIDFile is the file with the process id of nginx's master. If it is set, the
	// master is sent SIGHUP, and Reload must be empty.
	PIDFile string
	// Status is where nginx tells which include its workers have, as its listen
	// directive says it: "127.0.0.1:9180" or "unix:/run/rheostat.sock". Config
	// prints the server for it; nobody else should reach it. Without it, nothing is
	// known of the workers, and the evidence is Written at best.
	Status string
	// WorkerShutdown is nginx's worker_shutdown_timeout, for which requests that
	// are under way go on in old workers. The default is 10 seconds, which Config
	// prints. It must not be less than what the configuration says, and that must
	// say something: otherwise a WebSocket keeps an old worker for ever.
	WorkerShutdown time.Duration
	// Handover bounds the time for which old workers still take new connections
	// after a new one was seen, or, without Status, after the reload was asked
	// for. The default is one second, and five without Status.
	Handover time.Duration
	// Timeout bounds each command and each question. The default is 30 seconds.
	Timeout time.Duration
}

// Router is one include of an nginx. All state is in the file and its lock file,
// so any number of routers, in any number of processes on one host, may turn the
// same include; it is safe for concurrent use.
type Router struct {
	include string
	o       Options
	status  *status // nil without Options.Status
}

var _ traffic.Router = (*Router)(nil)

var variablePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// New is the router for the include at that path, which is absolute. Beside it
// the router keeps a lock file and, while it writes, a temporary one; nginx's
// include directive must not match their endings, .lock and .tmp. New asks
// nothing and runs nothing; an error names the argument that cannot be right.
func New(include string, o Options) (*Router, error) {
	if o.Variable == "" {
		o.Variable = defaultVariable
	}
	if len(o.Test) == 0 {
		o.Test = []string{"nginx", "-T"}
	}
	if o.PIDFile != "" && len(o.Reload) > 0 {
		return nil, errors.New("nginx: options.reload and options.pid_file: both are set; keep one")
	}
	if len(o.Reload) == 0 {
		o.Reload = []string{"nginx", "-s", "reload"}
	}
	o.Test, o.Reload = slices.Clone(o.Test), slices.Clone(o.Reload)
	r := &Router{include: include, o: o}
	switch {
	case !filepath.IsAbs(include):
		return nil, fmt.Errorf("nginx: include: %q: want an absolute path", include)
	case strings.ContainsFunc(include, notInPath):
		return nil, fmt.Errorf("nginx: include: %q: use letters, digits and /.@+-_ only", include)
	case !variablePattern.MatchString(o.Variable):
		return nil, fmt.Errorf("nginx: options.variable: %q: want a lower case letter, then letters, digits and underscores", o.Variable)
	case o.WorkerShutdown < 0 || o.Handover < 0 || o.Timeout < 0:
		return nil, errors.New("nginx: options: worker_shutdown, handover and timeout cannot be less than 0")
	}
	if o.WorkerShutdown == 0 {
		r.o.WorkerShutdown = defaultShutdown
	}
	if o.Timeout == 0 {
		r.o.Timeout = defaultTimeout
	}
	if o.Handover == 0 {
		r.o.Handover = seenHandover
		if o.Status == "" {
			r.o.Handover = unseenHandover
		}
	}
	if o.Status != "" {
		var err error
		if r.status, err = newStatus(o.Status, o.Variable); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Caps is what split_clients and map of nginx can do: steps of 0.01%, matches
// and stickiness, no copies. A reload closes connections that are kept open, so
// it drops requests that were just sent on one. Lag is for how long old workers
// may go on.
func (r *Router) Caps() traffic.Caps {
	c := traffic.Caps{
		Granularity: step,
		Match:       true,
		Query:       true,
		Sticky:      true,
		Fencing:     true,
		Evidence:    traffic.Written,
		Lag:         r.o.WorkerShutdown + r.o.Handover,
		Drops:       true,
	}
	if r.status != nil {
		c.Evidence = traffic.Programmed
	}
	return c
}

// Apply implements [traffic.Router]. Beyond that contract it refuses, with
// errors.ErrUnsupported, names that nginx has no variable for: a header with
// anything but letters, digits and dashes; a cookie or a parameter with anything
// but letters, digits and underscores; an arm with anything but letters, digits,
// dots, dashes and underscores. It refuses an arm that is to get requests and is
// no upstream, and an include that holds what is not a route.
//
// The include is replaced, the whole configuration is tested with it, and nginx
// is told to reload. If the test fails, whoever broke the configuration, or the
// reload is not taken, the old include is put back byte for byte, and the error
// has what nginx said. Killed in between, the same Apply goes on from there.
func (r *Router) Apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if err := r.apply(ctx, fence, route); err != nil {
		return fmt.Errorf("nginx: apply: %w", err)
	}
	return nil
}

func (r *Router) apply(ctx context.Context, fence uint64, route traffic.Route) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	route, err := r.Caps().NearestRoute(route)
	if err != nil {
		return err
	}
	if err := check(route); err != nil {
		return err
	}
	l, err := r.lock(ctx)
	if err != nil {
		return err
	}
	defer l.release()
	return r.turn(ctx, l, note{Fence: fence, Route: digest(route)}, route)
}

// turn does the work under the lock.
func (r *Router) turn(ctx context.Context, l *lock, n note, route traffic.Route) error {
	have, err := r.read(l.path)
	if err != nil {
		return err
	}
	if err := have.refuse(n); err != nil {
		return err
	}
	want, generation := compose(r.o.Variable, n, route)
	loaded, err := r.loaded(ctx, l)
	switch {
	case err != nil:
		return err
	case loaded != generation:
	case have.text == want:
		return nil
	case have.generation == generation && have.is(route):
		return replace(l.path, want) // only the fence is new to it
	}
	if have.text != want {
		if err := replace(l.path, want); err != nil {
			return err
		}
	}
	err = r.test(ctx, generation, route)
	if err == nil {
		err = r.reload(ctx, l, generation)
	}
	if err != nil && have.text != want {
		err = errors.Join(err, have.restore(l.path))
	}
	return err
}

// loaded is the generation that nginx's workers have, or, where they do not
// tell, the one that it was last asked to load.
func (r *Router) loaded(ctx context.Context, l *lock) (string, error) {
	if r.status == nil {
		return l.mark()
	}
	return r.ask(ctx)
}

func (r *Router) ask(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	return r.status.generation(ctx)
}

// Observe implements [traffic.Router] with what the directives of the include
// say, whoever wrote them. With Options.Status the evidence is Programmed once a
// worker that has exactly these directives answers, and an nginx that does not
// answer is an error. A file edited by hand is Written, as is one that nginx was
// not yet told of. Who else wrote is not known.
func (r *Router) Observe(ctx context.Context) (traffic.Seen, error) {
	seen, err := r.observe(ctx)
	if err != nil {
		return traffic.Seen{}, fmt.Errorf("nginx: observe: %w", err)
	}
	return seen, nil
}

func (r *Router) observe(ctx context.Context) (traffic.Seen, error) {
	have, err := r.look(ctx)
	if err != nil {
		return traffic.Seen{}, err
	}
	if have.foreign != nil {
		return traffic.Seen{}, fmt.Errorf("%s: %w", r.include, have.foreign)
	}
	seen := traffic.Seen{Route: have.route, Evidence: traffic.Written}
	if have.noted != nil && have.noted.Route == digest(have.route) && !have.route.IsZero() {
		seen.Fence = have.noted.Fence
	}
	if r.status == nil {
		return seen, nil
	}
	loaded, err := r.ask(ctx)
	if err != nil {
		return traffic.Seen{}, err
	}
	if loaded == have.generation && have.generation == generationOf(r.o.Variable, have) {
		seen.Evidence = traffic.Programmed
	}
	return seen, nil
}

// look reads the include while nobody is trying another one in its place.
func (r *Router) look(ctx context.Context) (include, error) {
	l, err := r.share(ctx)
	if err != nil {
		return include{}, err
	}
	defer l.release()
	return r.read(l.path)
}

// resolve is the file behind the include's path, so that a link stays a link.
func (r *Router) resolve() (string, error) {
	path, err := filepath.EvalSymlinks(r.include)
	if errors.Is(err, os.ErrNotExist) {
		return r.include, nil
	}
	if err != nil {
		return "", fmt.Errorf("include: %w", err)
	}
	return path, nil
}
