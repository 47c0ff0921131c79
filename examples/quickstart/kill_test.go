// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// process is the program in a process of its own.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	heard strings.Builder
}

func start(t *testing.T, args string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.CommandContext(t.Context(), self)}
	p.cmd.Env = append(os.Environ(), asProgram+"="+args)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A program that hangs must not hang the test.
	limit := time.AfterFunc(2*time.Minute, func() { _ = p.cmd.Process.Kill() })
	t.Cleanup(func() { limit.Stop() })
	p.lines = bufio.NewScanner(out)
	return p
}

// until reads on until a line has the word, or to the end for "".
func (p *process) until(t *testing.T, word string) {
	t.Helper()
	for p.lines.Scan() {
		p.heard.WriteString(p.lines.Text() + "\n")
		if word != "" && strings.Contains(p.lines.Text(), word) {
			return
		}
	}
	if word != "" {
		t.Fatalf("it ended without %q:\n%s", word, p.heard.String())
	}
}

// kill is kill -9.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // it was killed
}

func TestKilledInEachRolloutItGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	args := "-plain -hold 200ms -rate 500 -state " + t.TempDir()
	if strings.Count(args, " ") != 6 {
		t.Skip("the folder for temporary files has a blank in its name")
	}
	one := start(t, args)
	one.until(t, "v2 gets 25%")
	one.kill(t)

	two := start(t, args)
	two.until(t, "going on where another process was: rollout 1 to v2, progressing at 25%")
	two.until(t, "v3 gets 5%")
	two.kill(t)

	three := start(t, args)
	three.until(t, "going on where another process was: rollout 2 to v3, progressing at 5%")
	three.until(t, "")
	if err := three.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, three.heard.String())
	}
	for _, again := range []string{"rollout 1 begins", "v2 gets 10%", "v2 gets 25%"} {
		if strings.Contains(two.heard.String(), again) {
			t.Errorf("after the first kill it did over %q:\n%s", again, two.heard.String())
		}
	}
	for _, again := range []string{"rollout 2 begins", "v3 gets 1%", "v3 gets 5%"} {
		if strings.Contains(three.heard.String(), again) {
			t.Errorf("after the second kill it did over %q:\n%s", again, three.heard.String())
		}
	}
	for _, end := range []string{"v2, a good candidate: promoted", "v3, a bad candidate: rolled back", "0 caused by moving traffic"} {
		if !strings.Contains(three.heard.String(), end) {
			t.Errorf("it does not end with %q:\n%s", end, three.heard.String())
		}
	}
}
