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

// tries bounds how often put begins anew. It has to when another writer of the
// same fence and route, or somebody who clears the map, takes its entry away.
const tries = 4

// put makes value the route in force, by the protocol that the package comment
// tells: behind all others first, then without those before it.
func (r *Router) put(ctx context.Context, fence uint64, value string) error {
	for range tries {
		list, err := r.try(ctx, newEntry(fence, value))
		if err != nil || holds(list, fence, value) {
			return err
		}
		// Nothing stood before it any more, and yet it is not in force.
		if err := refuse(list, fence, value); err != nil {
			return err // a higher fence has overtaken it
		}
	}
	return fmt.Errorf("somebody else changed the map %s %d times meanwhile: %w", r.config.Map, tries, traffic.ErrConflict)
}

// try puts mine in force, and returns the list as it was seen last.
func (r *Router) try(ctx context.Context, mine entry) ([]entry, error) {
	add := fmt.Sprintf("add map %s %s %s", r.config.Map, mine.key, mine.value)
	answers, err := r.ask(ctx, add, r.show())
	if err != nil {
		return nil, err
	}
	if answers[0] != "" {
		return nil, r.refused("add map", answers[0])
	}
	list, err := r.list(answers[1])
	if err != nil {
		return nil, err
	}
	at := slices.Index(list, mine)
	if at < 0 {
		return list, nil // gone already
	}
	fence, _, _ := mine.fence()
	if err := refuse(list[:at], fence, mine.value); err != nil {
		// Nobody sees it where it is. The next writer takes it away if this fails.
		_, _ = r.ask(ctx, r.del(mine))
		return nil, err
	}
	now, err := r.clear(ctx, list[:at])
	if err != nil || now == mine {
		return []entry{now}, err
	}
	if answers, err = r.ask(ctx, r.show()); err != nil {
		return nil, err
	}
	return r.list(answers[0])
}

// clear takes away what matches, the last first, and returns what is in force
// then: no entry is ever in force that was not before, until the first goes and
// ours is. Those that are gone already were taken away by another writer, who did
// the same.
func (r *Router) clear(ctx context.Context, before []entry) (entry, error) {
	var commands []string
	length := 0
	for _, e := range slices.Backward(before) {
		if !e.matches() {
			continue
		}
		if length > maxLine {
			if _, err := r.ask(ctx, commands...); err != nil {
				return entry{}, err
			}
			commands, length = nil, 0
		}
		commands = append(commands, r.del(e))
		length += len(r.del(e)) + 1
	}
	answers, err := r.ask(ctx, append(commands, r.get())...)
	if err != nil {
		return entry{}, err
	}
	last := len(answers) - 1
	for _, a := range answers[:last] {
		if a != "" && !strings.Contains(strings.ToLower(a), "not found") {
			return entry{}, r.refused("del map", a)
		}
	}
	return r.entry(answers[last])
}

// refuse is why a route may not be put in force behind those in list: one of
// them has a higher fence, or the first of the same fence has another route. The
// first decides because those behind it are refused in the same way.
func refuse(list []entry, fence uint64, value string) error {
	met := false
	var conflict error
	for _, e := range list {
		f, _, ok := e.fence()
		switch {
		case !ok:
		case f > fence:
			return fmt.Errorf("fence %d after %d: %w", fence, f, traffic.ErrFenced)
		case f == fence && !met:
			met = true
			if !e.wrote(value) {
				conflict = fmt.Errorf("fence %d, which was used for another route: %w", fence, traffic.ErrConflict)
			}
		}
	}
	return conflict
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
	answers, err := r.ask(ctx, r.get())
	if err != nil {
		return entry{}, err
	}
	return r.entry(answers[0])
}

func (r *Router) show() string       { return "show map " + r.config.Map }
func (r *Router) get() string        { return "get map " + r.config.Map + " " + strconv.Itoa(pivot) }
func (r *Router) del(e entry) string { return "del map " + r.config.Map + " " + e.key }

func (r *Router) entry(answer string) (entry, error) {
	e, ok := parseGet(answer)
	if !ok {
		return entry{}, r.refused("get map", answer)
	}
	return e, nil
}

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
