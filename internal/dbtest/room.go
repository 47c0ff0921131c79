// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package dbtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// memory is a file system in memory, where there is one.
const memory = "/dev/shm"

// rooms are the folders of this process, by the folder each is in. All servers and
// templates are below them, so that one guard finds everything.
var rooms = struct {
	sync.Mutex
	dirs   map[string]string
	guards []*os.File // the ends of pipes that close with this process
}{dirs: map[string]string{}}

// room is this process's folder in parent. It goes with the process, not with a test.
func room(parent string) (string, error) {
	rooms.Lock()
	defer rooms.Unlock()
	if dir, ok := rooms.dirs[parent]; ok {
		return dir, nil
	}
	dir, err := os.MkdirTemp(parent, "rheostat-db-")
	if err != nil {
		return "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil { // as the guard will see it
		return "", err
	}
	end, err := guard(dir)
	if err == nil {
		err = os.Chmod(dir, 0o777) //nolint:gosec // the server runs as another user
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	rooms.dirs[parent] = dir
	rooms.guards = append(rooms.guards, end)
	return dir, nil
}

// cleaner waits for the end of its input, which comes when the test's process is gone,
// however it went. Then it ends whoever works in the folder, for a busy backend does not
// notice that its server is gone and an installer's child writes on, and removes it.
const cleaner = `
trap '' INT TERM HUP
cat >/dev/null
cd /
for turn in 1 2 3 4 5 6 7 8 9 10; do
	found=
	for p in /proc/[0-9]*; do
		case "$(readlink "$p/cwd" 2>/dev/null)" in
		"$0"/*) found=1; kill -9 "${p#/proc/}" 2>/dev/null ;;
		esac
	done
	rm -rf "$0" 2>/dev/null
	[ -n "$found" ] || [ -e "$0" ] || exit 0
	sleep 0.2
done
`

// guard starts a cleaner of dir, which runs when the file it returns is closed. It is in a
// session of its own, so that what ends the test's group does not end it.
func guard(dir string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("sh", "-c", cleaner, dir)
	cmd.Stdin = r
	apart(cmd)
	if err := errors.Join(cmd.Start(), r.Close()); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	go func() { _ = cmd.Wait() }()
	return w, nil
}

// folder makes a folder for a server. It is not tb.TempDir, whose parents are closed to
// other users.
// A server that may lose its data in a crash of the machine has it in memory.
func folder(tb testing.TB, o Options) string {
	tb.Helper()
	parent := ""
	if info, err := os.Stat(memory); o.Fast && err == nil && info.IsDir() {
		parent = memory
	}
	dir, err := room(parent)
	if err == nil {
		dir, err = os.MkdirTemp(dir, "server-") //nolint:usetesting // as above
	}
	if err == nil {
		err = os.Chmod(dir, 0o777) //nolint:gosec // the server runs as another user
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			tb.Error(err)
		}
	})
	return dir
}

// template is a folder that is made once for each process and copied for each server.
type template struct {
	once sync.Once
	dir  string
	err  error
}

// copyTo copies the template, which fill makes, to a folder of a server.
func (t *template) copyTo(tb testing.TB, to, owner string, fill func(dir string) *exec.Cmd) {
	tb.Helper()
	t.once.Do(func() {
		if t.dir, t.err = room(""); t.err != nil {
			return
		}
		if t.dir, t.err = os.MkdirTemp(t.dir, "template-"); t.err != nil { //nolint:usetesting // it outlives this test
			return
		}
		if t.err = os.Chmod(t.dir, 0o777); t.err == nil { //nolint:gosec // the server runs as another user
			t.err = run(fill(filepath.Join(t.dir, "data")), t.dir, owner)
		}
	})
	err := t.err
	if err == nil {
		err = run(exec.Command("cp", "-a", filepath.Join(t.dir, "data"), to), to, "")
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// run runs a command in dir, where the guard finds its children.
func run(cmd *exec.Cmd, dir, owner string) error {
	cmd.Dir = dir
	if owner != "" {
		as(cmd, owner)
	}
	own(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd.Path, err, out)
	}
	return nil
}
