// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package haproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// maxReply bounds what is read of one reply. A map of ours has a few entries,
// an arm of a thousand servers half a kilobyte for each.
const maxReply = 4 << 20

// asker asks HAProxy one thing after another, and returns the text of each
// answer, without the empty line that ends it. An error that comes after the
// questions were sent leaves open which of them were carried out.
type asker func(ctx context.Context, commands ...string) ([]string, error)

// socket is the runtime API of HAProxy. Each question is a connection of its
// own, as HAProxy wants it from programs: it answers and hangs up.
type socket struct {
	network, address string
	timeout          time.Duration
}

func (s socket) ask(ctx context.Context, commands ...string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	cause := fmt.Errorf("no answer from %s within %v: %w", s.address, s.timeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, cause)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, s.network, s.address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("stats socket: %w", err) // names the address
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	text, err := exchange(conn, strings.Join(commands, ";")+"\n")
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("%s: %w", s.address, err)
	}
	answers, err := split(text, len(commands))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.address, err)
	}
	return answers, nil
}

func exchange(conn net.Conn, line string) ([]byte, error) {
	if _, err := io.WriteString(conn, line); err != nil {
		return nil, fmt.Errorf("the question was not taken: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(conn, maxReply+1))
	switch {
	case len(text) > maxReply:
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxReply)
	case err != nil:
		return nil, fmt.Errorf("the answer was lost after %d bytes: %w", len(text), err)
	case len(text) == 0:
		return nil, errors.New("the connection was closed without an answer")
	}
	return text, nil
}

// split takes the answers to n questions apart. Each ends with an empty line, so
// one that was cut off is noticed.
func split(text []byte, n int) ([]string, error) {
	answers := make([]string, 0, n)
	rest := text
	for len(rest) > 0 {
		var answer []byte
		if rest[0] == '\n' {
			rest = rest[1:]
		} else {
			end := bytes.Index(rest, []byte("\n\n"))
			if end < 0 {
				return nil, fmt.Errorf("the answer %s is cut short, or not one of HAProxy's", quote(string(rest)))
			}
			answer, rest = rest[:end], rest[end+2:]
		}
		answers = append(answers, string(answer))
	}
	if len(answers) != n {
		return nil, fmt.Errorf("%d questions got %d answers, the first being %s; is it the stats socket of HAProxy?", n, len(answers), quote(answers[0]))
	}
	return answers, nil
}

// quote is the beginning of a foreign text for an error: its first line, and not much of it.
func quote(text string) string {
	const most = 120
	text, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	if len(text) > most {
		text, more = text[:most], true
	}
	if more {
		return fmt.Sprintf("%q…", text)
	}
	return fmt.Sprintf("%q", text)
}
