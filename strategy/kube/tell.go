// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rheostat-go/rheostat/strategy"
)

// tellEvery is how often, at most, an object is written only to say what its rollout
// waits for.
const tellEvery = time.Minute

// teller remembers when each object was last told what its rollout waits for.
type teller struct {
	mu   sync.Mutex
	told map[string]time.Time
}

func (t *teller) due(service string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Sub(t.told[service]) >= tellEvery
}

func (t *teller) done(service string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.told == nil {
		t.told = map[string]time.Time{}
	}
	t.told[service] = now
}

func (t *teller) forget(service string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.told, service)
}

// tell writes into the object what no save has: that the spec is refused, that it was
// read, and, now and then, what the rollout waits for. It writes only what has changed.
// Who comes first in between makes it an error: the turn is made again.
func (c *Controller) tell(ctx context.Context, service string, t *turn, d strategy.Decision, asked bool, no refusal) error {
	object, err := c.store.object(ctx, service)
	if err != nil || object == nil {
		return err
	}
	have, err := c.store.statusOf(object)
	if err != nil {
		return err
	}
	now := time.Now()
	changed := have.ObservedGeneration < t.considered()
	have.ObservedGeneration = max(have.ObservedGeneration, t.considered())
	if asked {
		changed = meta.SetStatusCondition(&have.Conditions, accepted(no, have.ObservedGeneration, now)) || changed
	}
	if !d.State.Active() {
		c.teller.forget(service)
	} else if d.Transition.Kind == 0 && c.teller.due(service, now) {
		if waits := c.waits(t, d.State, now); waits != "" {
			changed = say(have.Conditions, waits) || changed
			c.teller.done(service, now)
		}
	}
	if !changed {
		return nil
	}
	written, err := c.store.write(ctx, service, object, have)
	if err != nil {
		return err
	}
	t.hold(service, written)
	return nil
}

func accepted(no refusal, generation int64, now time.Time) metav1.Condition {
	c := metav1.Condition{
		Type: Accepted, Status: metav1.ConditionTrue, Reason: "Accepted", ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	}
	if no.err != nil {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, "Refused", short(no.err.Error())
	}
	return c
}

// say changes the message of the condition Progressing, and nothing else about it.
func say(conditions []metav1.Condition, message string) bool {
	c := meta.FindStatusCondition(conditions, Progressing)
	if c == nil || c.Message == short(message) {
		return false
	}
	c.Message = short(message)
	return true
}

// waits is what the lanes wait for, by what this turn has seen.
func (c *Controller) waits(t *turn, s strategy.State, now time.Time) string {
	t.mu.Lock()
	o := t.saw
	t.mu.Unlock()
	o.Watched = now
	if object := t.object(s.Service); object != nil {
		spec, errSpec := SpecOf(object)
		have, errHave := c.store.statusOf(object)
		if errSpec == nil && errHave == nil {
			i := intent(object, spec, have)
			o.Intent = &i
		}
	}
	var lines []string
	for _, lane := range c.options.Config.Machine.Explain(now, s, o).Lanes {
		lane.Until = time.Time{} // it would be another text every turn
		lines = append(lines, lane.String())
	}
	return strings.Join(lines, "; ")
}
