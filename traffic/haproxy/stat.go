// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package haproxy

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rheostat-go/rheostat/traffic"
)

// errNoArm says that HAProxy has no backend of an arm's name.
var errNoArm = errors.New("HAProxy has no backend of that name")

// load is what a backend could carry and what it does.
type load struct {
	room    traffic.Weight
	reading traffic.Reading
}

// showStat asks for one backend and its servers, not for the thousands beside it.
func showStat(arm string) string { return "show stat " + arm + " 6 -1" }

func (r *Router) loads(ctx context.Context, arms traffic.Arms) (map[string]load, error) {
	names := []string{arms.Stable, arms.Candidate}
	answers, err := r.ask(ctx, showStat(names[0]), showStat(names[1]))
	if err != nil {
		return nil, err
	}
	loads := map[string]load{}
	for i, name := range names {
		if loads[name], err = parseLoad(answers[i], name); err != nil {
			return nil, err
		}
	}
	return loads, nil
}

// parseLoad reads an answer to "show stat": a table of comma-separated values
// whose first line names the columns, one line a server and one for the backend.
func parseLoad(answer, arm string) (load, error) {
	if strings.HasPrefix(answer, "No such proxy") {
		return load{}, fmt.Errorf("%q: %w", arm, errNoArm)
	}
	lines := csv.NewReader(strings.NewReader(answer))
	lines.FieldsPerRecord = -1
	rows, err := lines.ReadAll()
	if err != nil || len(rows) == 0 {
		return load{}, fmt.Errorf("%q: show stat was answered by %s, which is not its table", arm, quote(answer))
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[strings.TrimPrefix(name, "# ")] = i
	}
	for _, name := range []string{"pxname", "svname", "status", "weight", "bck", "scur", "stot"} {
		if _, ok := column[name]; !ok {
			return load{}, fmt.Errorf("%q: show stat was answered by %s, which has no column %s", arm, quote(answer), name)
		}
	}
	var l load
	var backend []string
	var servers [][]string
	cell := func(row []string, name string) string {
		if i := column[name]; i < len(row) {
			return row[i]
		}
		return ""
	}
	for _, row := range rows[1:] {
		switch {
		case cell(row, "pxname") != arm:
		case cell(row, "svname") == "BACKEND":
			backend = row
		default:
			servers = append(servers, row)
		}
	}
	if backend == nil {
		return load{}, fmt.Errorf("%q: %w", arm, errNoArm)
	}
	for name, to := range map[string]*uint64{"stot": &l.reading.Requests, "scur": &l.reading.Active} {
		if *to, err = strconv.ParseUint(cell(backend, name), 10, 64); err != nil {
			return load{}, fmt.Errorf("%q: show stat: %s: %w", arm, name, err)
		}
	}
	l.room = room(cell, backend, servers)
	return l, nil
}

// room is the share of its servers' weight that is ready. Servers for a backup
// count only where there are no others, those of weight 0 never.
func room(cell func([]string, string) string, backend []string, servers [][]string) traffic.Weight {
	if !strings.HasPrefix(cell(backend, "status"), "UP") {
		return 0
	}
	main := slices.DeleteFunc(slices.Clone(servers), func(row []string) bool { return cell(row, "bck") == "1" })
	if len(main) == 0 {
		main = servers
	}
	var ready, whole uint64
	for _, row := range main {
		weight, err := strconv.ParseUint(cell(row, "weight"), 10, 16)
		if err != nil {
			continue
		}
		whole += weight
		if status := cell(row, "status"); strings.HasPrefix(status, "UP") || status == "no check" {
			ready += weight
		}
	}
	switch {
	case len(servers) == 0:
		return traffic.Full // it answers by itself
	case whole == 0:
		return 0
	}
	return traffic.Weight(ready * uint64(traffic.Full) / whole) //nolint:gosec // ready is at most whole
}
