// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// screen is where it all is shown. Lines stay; a frame is drawn below them and
// gives way to the next one. It is safe for concurrent use.
type screen struct {
	out  io.Writer
	live bool

	mu    sync.Mutex
	frame []string
	err   error
}

// What a terminal understands. Wrapping is off while a frame is drawn, so that
// a narrow terminal cuts lines instead of losing count of them. Nothing outlives
// the write, for the process may be killed after it.
const (
	noWrap = "\x1b[?7l"
	wrap   = "\x1b[?7h"
	below  = "\x1b[J"
)

// say adds a line that stays, with the time.
func (s *screen) say(format string, args ...any) {
	s.print(fmt.Sprintf("%s  %s", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...)))
}

// print adds lines that stay.
func (s *screen) print(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draw(lines, s.frame)
}

// show draws the next frame, none to take the last one away.
func (s *screen) show(frame []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live {
		s.draw(nil, frame)
	}
}

// draw is one write, so that nothing flickers.
func (s *screen) draw(lines, frame []string) {
	var b strings.Builder
	if n := len(s.frame); n > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r%s", n, below)
	}
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	if len(frame) > 0 {
		b.WriteString(noWrap + strings.Join(frame, "\n") + "\n" + wrap)
	}
	s.frame = frame
	if _, err := io.WriteString(s.out, b.String()); err != nil && s.err == nil {
		s.err = err
	}
}
