// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rheostat-go/rheostat/strategy"
)

// The conditions of a Rollout. With observedGeneration they are what kstatus goes by, and
// so Flux, Argo CD, Helm and kubectl wait.
const (
	// Ready is true when the candidate has finished its rollout, bake included.
	Ready = "Ready"
	// Progressing is true while a run is under way; its message says what it waits for.
	Progressing = "Progressing"
	// Degraded is true when a run went home by itself, is on its way there, has stopped for
	// a person, or ended halfway.
	Degraded = "Degraded"
	// Accepted is false when what the spec asks for is refused; its message says why, and
	// what to do.
	Accepted = "Accepted"
)

// conditions are those that follow from a state alone. They change at the time of the
// transition that changed them.
func conditions(have []metav1.Condition, s strategy.State) []metav1.Condition {
	var at time.Time
	var last strategy.Transition
	if journal := s.Journal(); len(journal) > 0 {
		last = journal[len(journal)-1]
		at = last.At
	}
	have = append([]metav1.Condition(nil), have...)
	set := func(kind string, when bool, reason, message string) {
		c := metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: short(message), LastTransitionTime: metav1.NewTime(at.Truncate(time.Second))}
		if when {
			c.Status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&have, c)
	}
	reason := reasonOf(s)
	set(Ready, s.Phase == strategy.Promoted, reason, s.Reason)
	set(Progressing, s.Active(), reason, said(last))
	set(Degraded, degraded(s), reason, cmp.Or(s.Hold.Reason, s.Reason))
	return have
}

// degraded says whether something went wrong that nobody asked for.
func degraded(s strategy.State) bool {
	switch s.Phase {
	case strategy.RollbackFailed, strategy.Partial:
		return true
	case strategy.RollingBack, strategy.RolledBack:
		return s.Hold.ID != 0 || s.Cause.Automatic()
	case strategy.Idle, strategy.Progressing, strategy.Promoted:
	}
	return s.Hold.ID != 0
}

// reasonOf is one word for where a rollout is.
func reasonOf(s strategy.State) string {
	switch {
	case s.Hold.ID != 0:
		return "StoppedForPerson"
	case s.Active() && s.Paused:
		return "OnHold"
	}
	switch s.Phase {
	case strategy.Idle:
	case strategy.Progressing:
		return "Progressing"
	case strategy.RollingBack:
		return "RollingBack"
	case strategy.Promoted:
		return "Promoted"
	case strategy.RolledBack:
		return "RolledBack"
	case strategy.RollbackFailed:
		return "RollbackFailed"
	case strategy.Partial:
		return "PartlyPromoted"
	}
	return "NoRun"
}

// said is a transition in one line.
func said(t strategy.Transition) string {
	if t.Kind == 0 {
		return ""
	}
	line := t.Kind.String()
	if t.Lane != "" {
		line += " " + t.Lane + " " + t.Step
	}
	if t.Kind == strategy.DialsTurned || t.Kind == strategy.WeightLowered {
		line += " to " + t.Weight.String()
	}
	if t.Subject != "" {
		line += " " + t.Subject
	}
	if t.Kind == strategy.VerdictChanged {
		line += " " + t.Verdict.String()
	}
	if t.Reason != "" {
		line += ": " + t.Reason
	}
	if t.By != "" {
		line += ", by " + t.By
	}
	return line
}

// maxMessage is what the API server takes of a message of a condition or an Event, nearly.
const maxMessage = 1000

// short cuts a text, at a rune, to what the API server takes.
func short(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage
	for cut > 0 && text[cut]&0xC0 == 0x80 {
		cut--
	}
	return text[:cut] + "…"
}
