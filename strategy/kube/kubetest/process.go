// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// process is one program that runs, is killed, and runs again with the same arguments.
type process struct {
	path string
	args []string
	env  []string
	log  string // the file that its output is appended to

	mu      sync.Mutex
	running *run // the newest; nil before the first
}

// run is one life of a process.
type run struct {
	pid    int
	done   chan struct{} // closed at its end
	err    error         // what it ended with, once done is closed
	wanted bool          // its end was asked for; guarded by the process's mu
	paused bool          // guarded by the process's mu
}

// start begins a new life. It is an error if the last one has not ended.
func (p *process) start() (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil && !p.running.ended() {
		return fmt.Errorf("%s runs already", p.path)
	}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }() // the child has its own
	cmd := exec.Command(p.path, p.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, out, out
	dieWithParent(cmd)

	r := &run{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel means the thread, not the process, when a child is to die with its
		// parent: this thread has to live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			r.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		r.err = cmd.Wait()
		close(r.done)
	}()
	if err := <-started; err != nil {
		return err
	}
	p.running = r
	return nil
}

func (r *run) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// kill ends it and waits for the end. What has ended is left alone.
func (p *process) kill() error {
	p.mu.Lock()
	r := p.running
	if r == nil || r.ended() {
		p.mu.Unlock()
		return nil
	}
	r.wanted = true
	err := r.signal(syscall.SIGKILL)
	p.mu.Unlock()
	if err != nil {
		return err
	}
	<-r.done
	return nil
}

// pause stops it where it is, or lets it go on.
func (p *process) pause(on bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.running
	if r == nil || r.ended() {
		return errors.New("it does not run")
	}
	sig := syscall.SIGCONT
	if on {
		sig = syscall.SIGSTOP
	}
	r.paused = on
	return r.signal(sig)
}

func (r *run) signal(sig syscall.Signal) error {
	if r.ended() {
		return nil
	}
	if err := syscall.Kill(r.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// state says whether it lives, and whether it is paused.
func (p *process) state() (alive, paused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil || p.running.ended() {
		return false, false
	}
	return true, p.running.paused
}

// fault says what is wrong if it has ended though nobody asked it to.
func (p *process) fault() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil || !p.running.ended() || p.running.wanted {
		return nil
	}
	return fmt.Errorf("%s ended by itself (%w); the end of its log:\n%s", strings.Join(append([]string{p.path}, p.args...), " "), orExit(p.running.err), tail(p.log, 4096))
}

func orExit(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// tail is the last n bytes of a file, from the beginning of a line.
func tail(name string, n int64) string {
	f, err := os.Open(name)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	from := max(0, info.Size()-n)
	b := make([]byte, info.Size()-from)
	read, _ := f.ReadAt(b, from) // a file that became shorter is still worth showing
	text := string(b[:read])
	if from > 0 {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}

// reaper removes dir when this process ends, in whatever way: its standard input is a pipe
// that closes then. The returned function removes dir at once.
func reaper(dir string) (func() error, error) {
	// What dies with us may still be writing while we remove; so try again for a while.
	const script = `trap '' HUP INT TERM; cat >/dev/null; for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$0" && exit; sleep 0.2; done; exit 1`
	cmd := exec.Command("sh", "-c", script, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // out of reach of the terminal's Ctrl-C
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() error {
		if err := in.Close(); err != nil {
			return err
		}
		return cmd.Wait()
	}, nil
}
