// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package haproxy

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rheostat-go/rheostat/traffic"
)

// maxLine keeps a line of commands well within HAProxy's buffer.
const maxLine = 8 << 10

// put makes value the route in force, by the protocol that the package comment
// tells: behind all others first, then without those before it.
func (r *Router) put(ctx context.Context, fence uint64, value string) error {
	mine := newEntry(fence, value)
	add := fmt.Sprintf("add map %s %s %s", r.config.Map, mine.key, mine.value)
	answers, err := r.ask(ctx, add, r.show())
	if err != nil {
		return err
	}
	if answers[0] != "" {
		return r.refused("add map", answers[0])
	}
	list, err := r.list(answers[1])
	if err != nil {
		return err
	}
	at := slices.Index(list, mine)
	if at < 0 {
		return r.lost(list, fence, value)
	}
	before := list[:at]
	if err := refuse(before, fence, value); err != nil {
		// Nobody sees it where it is. The next writer takes it away if this fails.
		_, _ = r.ask(ctx, r.del(mine))
		return err
	}
	if err := r.clear(ctx, before); err != nil {
		return err
	}
	now, err := r.inForce(ctx)
	if err != nil || now == mine {
		return err
	}
	answers, err = r.ask(ctx, r.show())
	if err != nil {
		return err
	}
	if list, err = r.list(answers[0]); err != nil {
		return err
	}
	return r.lost(list, fence, value)
}

// lost is what has become of a route whose entry is not in force although
// nothing stood before it any more: a higher fence has overtaken it, another
// writer has put the same under the same fence, or somebody has replaced the map.
func (r *Router) lost(list []entry, fence uint64, value string) error {
	if err := refuse(list, fence, value); err != nil {
		return err
	}
	if holds(list, fence, value) {
		return nil
	}
	return fmt.Errorf("somebody else changed the map %s meanwhile: %w", r.config.Map, traffic.ErrConflict)
}

// clear takes away what matches, the last first: then no entry is ever in force
// that was not before, until the first goes and ours is. Those that are gone
// already were taken away by another writer, who did the same.
func (r *Router) clear(ctx context.Context, before []entry) error {
	var commands []string
	length := 0
	for _, e := range slices.Backward(before) {
		if !e.matches() {
			continue
		}
		command := r.del(e)
		if length += len(command) + 1; length > maxLine {
			if _, err := r.ask(ctx, commands...); err != nil {
				return err
			}
			commands, length = nil, len(command)+1
		}
		commands = append(commands, command)
	}
	if len(commands) == 0 {
		return nil
	}
	answers, err := r.ask(ctx, commands...)
	if err != nil {
		return err
	}
	for _, a := range answers {
		if a != "" && !strings.Contains(strings.ToLower(a), "not found") {
			return r.refused("del map", a)
		}
	}
	return nil
}

// refuse is why a route may not be put in force behind those in list: one of
// them has a higher fence, or another route under the same.
func refuse(list []entry, fence uint64, value string) error {
	for _, e := range list {
		switch f, _, ok := e.fence(); {
		case ok && f > fence:
			return fmt.Errorf("fence %d after %d: %w", fence, f, traffic.ErrFenced)
		case ok && f == fence && !e.wrote(value):
			return fmt.Errorf("fence %d, which was used for another route: %w", fence, traffic.ErrConflict)
		}
	}
	return nil
}

// holds reports whether the route is in force as it was written under fence.
func holds(list []entry, fence uint64, value string) bool {
	for _, e := range list {
		if e.matches() {
			f, _, ok := e.fence()
			return ok && f == fence && e.value == value && e.ours()
		}
	}
	return false
}

// look reads the list, and whether both arms are there.
func (r *Router) look(ctx context.Context, arms traffic.Arms) ([]entry, error) {
	answers, err := r.ask(ctx, r.show(), showStat(arms.Stable), showStat(arms.Candidate))
	if err != nil {
		return nil, err
	}
	list, err := r.list(answers[0])
	if err != nil {
		return nil, err
	}
	for i, arm := range []struct{ field, name string }{{"stable", arms.Stable}, {"candidate", arms.Candidate}} {
		if _, err := parseLoad(answers[i+1], arm.name); err != nil {
			return nil, fmt.Errorf("arms.%s: %w", arm.field, err)
		}
	}
	return list, nil
}

// inForce asks HAProxy for the entry that a request finds; the zero entry if there is none.
func (r *Router) inForce(ctx context.Context) (entry, error) {
	answers, err := r.ask(ctx, "get map "+r.config.Map+" "+strconv.Itoa(pivot))
	if err != nil {
		return entry{}, err
	}
	e, ok := parseGet(answers[0])
	if !ok {
		return entry{}, r.refused("get map", answers[0])
	}
	return e, nil
}

func (r *Router) show() string       { return "show map " + r.config.Map }
func (r *Router) del(e entry) string { return "del map " + r.config.Map + " " + e.key }

func (r *Router) list(answer string) ([]entry, error) {
	list, ok := parseList(answer)
	if !ok {
		return nil, r.refused("show map", answer)
	}
	return list, nil
}

// refused is an answer that says no, with what to do about the usual ones.
func (r *Router) refused(command, answer string) error {
	hint := ""
	switch {
	case strings.Contains(answer, "Permission denied"):
		hint = "; the stats socket must be of level admin"
	case strings.Contains(answer, "Unknown map identifier"):
		hint = fmt.Sprintf("; HAProxy's configuration does not use the map %s: put Config.Rules into it", r.config.Map)
	case strings.HasPrefix(answer, "type="):
		hint = "; the map must be looked up with map_int, as Config.Rules does"
	}
	return fmt.Errorf("%s was answered by %s%s", command, quote(answer), hint)
}

// parseList reads an answer to "show map": a reference, a key and a value in each line.
func parseList(answer string) (list []entry, ok bool) {
	if answer == "" {
		return nil, true
	}
	for line := range strings.SplitSeq(answer, "\n") {
		ref, rest, _ := strings.Cut(line, " ")
		key, value, _ := strings.Cut(rest, " ")
		if !strings.HasPrefix(ref, "0x") || key == "" {
			return nil, false
		}
		list = append(list, entry{key, value})
	}
	return list, true
}

// parseGet reads an answer to "get map":
//
//	type=int, case=sensitive, found=yes, idx=list, key="5:9", value="text", type="str"
func parseGet(answer string) (e entry, ok bool) {
	if !strings.HasPrefix(answer, "type=int,") {
		return entry{}, false
	}
	if strings.Contains(answer, ", found=no") {
		return entry{}, true
	}
	_, rest, found := strings.Cut(answer, `, key="`)
	key, rest, also := strings.Cut(rest, `", value="`)
	end := strings.LastIndex(rest, `", type="`)
	if !found || !also || key == "" || end < 0 {
		return entry{}, false
	}
	return entry{key, rest[:end]}, true
}
