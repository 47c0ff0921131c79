// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Explain says in a few lines for people where a change is, and why it does not move: what
// it does or waits for, until when, and who said so. What only the database can tell, such
// as which instances are alive, the errors and events of a Migrator say.
func (r Record) Explain() string {
	lines := []string{fmt.Sprintf("%s is %v; %v is wanted%s", r.ID, r.State.Phase, r.Order.Want, r.Order.words())}
	if r.State.Failed != "" {
		lines = append(lines, "it failed: "+r.State.Failed)
	}
	lines = append(lines, r.explainNext())
	for _, p := range r.Progress {
		if !p.Done && p.Step >= 0 && p.Step < len(r.Script.Steps) {
			lines = append(lines, fmt.Sprintf("%s: %.0f%%, %d of about %d rows", r.Script.Steps[p.Step].Name, 100*p.Share, p.Seen, p.Total))
		}
	}
	if r.Owner != "" {
		lines = append(lines, fmt.Sprintf("%s is at work, and has the lease until %s", r.Owner, clock(r.Until)))
	}
	return strings.Join(lines, "\n")
}

// Explain is the record's Explain, with the instances that keep the change from going on.
func (m *Migrator) Explain(ctx context.Context, id string) (string, error) {
	r, err := m.db.Load(ctx, id)
	if err != nil {
		return "", err
	}
	a, err := next(r, time.Time{})
	if err != nil {
		return r.Explain(), nil //nolint:nilerr // the record says so
	}
	g, err := r.guard(a, m.o.InstanceTTL)
	if err != nil || g == nil {
		return r.Explain(), nil //nolint:nilerr // the record says so
	}
	alive, err := m.db.Instances(ctx, g.App, g.TTL)
	if err != nil {
		return "", err
	}
	live := slices.DeleteFunc(alive, func(i Instance) bool { return !g.Refuses(i.Version) })
	switch {
	case len(live) > 0:
		return r.Explain() + "\n" + (&LiveError{Instances: live}).Error(), nil
	case len(alive) == 0 && !g.Only:
		return r.Explain() + "\n" + fmt.Sprintf("%v: no instance of %s has registered", ErrUnguarded, g.App), nil
	}
	return r.Explain(), nil
}

func (r Record) explainNext() string {
	a, err := next(r, time.Time{})
	if err != nil {
		return "it cannot go on: " + err.Error()
	}
	name := func() string { return r.Script.Steps[a.step].Name }
	var text string
	switch a.act {
	case actPaused:
		return r.paused()
	case actWait:
		return "soaking until " + clock(a.until) + " by the database's clock"
	case actDo:
		text = "next: " + name()
	case actUndo:
		text = "next: undo " + name()
	case actEnter:
		text = "next: " + a.phase.String()
	case actNothing:
		return "nothing is left to do"
	}
	switch g, err := r.guard(a, 0); {
	case err != nil:
		text += ", which is refused: " + err.Error()
	case g != nil && g.Only:
		text += fmt.Sprintf(", once no instance of %s is alive that is %s", g.App, strings.Join(g.Versions, " or "))
	case g != nil:
		text += fmt.Sprintf(", once every instance of %s that is alive is %s", g.App, strings.Join(g.Versions, " or "))
	}
	return text
}

// paused says who paused it.
func (r Record) paused() string { return "paused" + r.Order.words() }

// words says who wants it, and why, as far as is known.
func (o Order) words() string {
	text := ""
	if o.By != "" {
		text = " by " + o.By
	}
	if o.Why != "" {
		text += ": " + o.Why
	}
	return text
}

func clock(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" }
