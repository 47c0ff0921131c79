// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// token is the administrator's: the server listens on the loopback interface only, and
// lives as long as a test.
const token = "kubetest"

// startLimit is how long a program may take to be ready. It takes seconds; a machine that
// is compiling on all cores takes longer.
const startLimit = 2 * time.Minute

// Options are how a control plane differs from the usual one. The zero value is the usual one.
type Options struct {
	// APIOnly leaves the controllers, the scheduler and the node out: objects are kept,
	// and nothing acts on them. It starts faster and takes half of the memory.
	APIOnly bool
	// Dir is where the folder of the control plane is made; "" is the folder for
	// temporary files. In /dev/shm the database does not touch a disk.
	Dir string
}

// A Cluster is a control plane that runs. Its methods may be called from several
// goroutines at once.
type Cluster struct {
	dir     string
	options Options
	shared  bool
	config  *rest.Config
	client  dynamic.Interface
	remove  func() error // the folder
	order   []Program    // in which they start
	parts   map[Program]*process

	mu        sync.Mutex
	installed map[string]bool // names of definitions that are established
}

// Start starts a control plane of tb's own, waits until it is ready, and stops it at the end
// of tb. It fails tb if a program of it ends by itself. Without the programs tb is skipped, or
// fails where RHEOSTAT_REAL is 1.
func Start(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	found := findPrograms(tb, o.programs())
	c, err := start(found, o)
	if err != nil {
		tb.Fatalf("kubetest: %v", err)
	}
	tb.Cleanup(func() {
		c.check(tb)
		if err := c.stop(); err != nil {
			tb.Errorf("kubetest: stopping: %v", err)
		}
	})
	return c
}

var shared struct {
	once    sync.Once
	cluster *Cluster
	err     error
}

// Shared returns the one control plane of this test binary, which the first call starts
// with the zero [Options] and which ends with the process. Tests keep apart by
// [Cluster.Namespace]. Whoever kills or pauses a part of it disturbs the tests that run at
// the same time, so such a test must not be parallel, or has its own from [Start].
func Shared(tb testing.TB) *Cluster {
	tb.Helper()
	found := findPrograms(tb, Options{}.programs())
	shared.once.Do(func() {
		shared.cluster, shared.err = start(found, Options{})
		if shared.err == nil {
			shared.cluster.shared = true
		}
	})
	if shared.err != nil {
		tb.Fatalf("kubetest: the shared control plane: %v", shared.err)
	}
	tb.Cleanup(func() { shared.cluster.check(tb) })
	return shared.cluster
}

func (o Options) programs() []Program {
	if o.APIOnly {
		return []Program{Etcd, APIServer}
	}
	return []Program{Etcd, APIServer, ControllerManager, Scheduler, Kwok}
}

// start brings a control plane up, or leaves nothing behind.
func start(found programs, o Options) (_ *Cluster, err error) {
	dir, err := os.MkdirTemp(o.Dir, "kubetest-")
	if err != nil {
		return nil, err
	}
	remove, err := reaper(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	c := &Cluster{dir: dir, options: o, remove: remove, order: o.programs(), installed: map[string]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	if err := c.writeFiles(ports[2]); err != nil {
		return nil, err
	}
	c.parts = c.processes(found, ports)

	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	// The API server waits for etcd by itself; the others would rather find a server.
	for _, name := range c.order[:2] {
		if err := c.parts[name].start(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	for _, name := range c.order[2:] {
		if err := c.parts[name].start(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if c.client, err = dynamic.NewForConfig(c.Config()); err != nil {
		return nil, err
	}
	if err := c.addNode(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// stop kills every part, since nothing of it is wanted again, and removes the folder.
func (c *Cluster) stop() error {
	var errs []error
	for _, p := range c.parts {
		errs = append(errs, p.kill())
	}
	return errors.Join(append(errs, c.remove())...)
}

// fault says which part ended though nobody asked it to.
func (c *Cluster) fault() error {
	var errs []error
	for _, name := range c.order {
		if p := c.parts[name]; p != nil {
			errs = append(errs, p.fault())
		}
	}
	return errors.Join(errs...)
}

// check fails tb if a part of the control plane ended by itself.
func (c *Cluster) check(tb testing.TB) {
	tb.Helper()
	if err := c.fault(); err != nil {
		tb.Errorf("kubetest: %v", err)
	}
}

// Config returns a new configuration for clients: an administrator's, without a limit of
// requests per second.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Kubeconfig returns the path of a file that says the same to programs, kubectl for one.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// Log returns the end of what a program has printed so far, 64 KiB at most.
func (c *Cluster) Log(name Program) string {
	return tail(c.logFile(name), 64<<10)
}

func (c *Cluster) logFile(name Program) string {
	return filepath.Join(c.dir, string(name)+".log")
}

// poll asks as Eventually does, until ctx ends or a part of the control plane has ended.
func (c *Cluster) poll(ctx context.Context, what string, ask func(ctx context.Context) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	err := until(ctx, func(ctx context.Context) error {
		err := ask(ctx)
		if fault := c.fault(); err != nil && fault != nil {
			stop(fault)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", what, err)
	}
	return nil
}

// nameOf is the name of a test as a part of a name in Kubernetes.
func nameOf(test string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, test)
	return strings.Trim(name[:min(len(name), 40)], "-")
}
