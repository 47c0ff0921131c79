// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package launchdarkly_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/launchdarkly"
)

const day = 24 * time.Hour

func ago(d time.Duration) time.Time { return time.Now().Add(-d).UTC().Truncate(time.Millisecond) }

func TestStaleAreTemporaryFlagsThatServeOneVariationForLong(t *testing.T) {
	t.Parallel()
	s := serve(t)
	two := `"on":true,"_summary":{"variations":{"0":{"isFallthrough":true},"1":{"rules":1}},"prerequisites":0}`
	s.flags = []*flag{
		{key: "old", temporary: true, config: everybody, changed: ago(40 * day), requested: map[string]time.Time{"production": ago(day)}},
		{key: "dotted.and older", temporary: true, config: all, changed: ago(90 * day)},
		{key: "young", temporary: true, config: everybody, changed: ago(day)},
		{key: "permanent", config: everybody, changed: ago(40 * day)},
		{key: "archived", temporary: true, archived: true, config: everybody, changed: ago(40 * day)},
		{key: "off", temporary: true, config: strings.Replace(everybody, `"on":true`, `"on":false`, 1), changed: ago(40 * day)},
		{key: "two", temporary: true, config: two, changed: ago(40 * day)},
		{key: "needs", temporary: true, config: strings.Replace(everybody, `"prerequisites":0`, `"prerequisites":1`, 1), changed: ago(40 * day)},
		{key: "target", temporary: true, config: strings.Replace(all, `"targets":[]`, `"targets":[{"values":["u"],"variation":1}]`, 1), changed: ago(40 * day)},
		{key: "ramp", temporary: true, config: `"on":true,"_summary":{"variations":{"0":{"rollout":90000},"1":{"rollout":10000}}}`, changed: ago(40 * day)},
		{
			key: "whole ramp", temporary: true, changed: ago(35 * day),
			config: `"on":true,"fallthrough":{"rollout":{"variations":[{"variation":0,"weight":0},{"variation":1,"weight":100000}]}}`,
		},
	}
	for i := range 230 { // three pages
		s.flags = append(s.flags, &flag{key: fmt.Sprint("filler", i), config: everybody, changed: ago(day)})
	}
	last := &flag{key: "last", temporary: true, config: everybody, changed: ago(31 * day)}
	s.flags = append(s.flags, last)
	got, err := s.project(t, launchdarkly.ProjectOptions{}).Stale(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	stale := func(i, variation int) launchdarkly.Stale {
		f := s.flags[i]
		return launchdarkly.Stale{
			Key: f.key, Name: "The " + f.key, Variation: variation, Value: []byte(strconv.FormatBool(variation == 0)),
			Since: f.changed, Requested: f.requested["production"], Owner: "ada@example.com",
		}
	}
	want := []launchdarkly.Stale{stale(1, 0), stale(0, 0), stale(10, 1), stale(len(s.flags)-1, 0)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if s.pages != 3 {
		t.Errorf("%d pages", s.pages)
	}
}

func TestArchivingLeavesTheFeatureOnAndIsRefusedWhileItIsAskedFor(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.flags = []*flag{
		{key: "done", temporary: true, config: all, changed: ago(40 * day), requested: map[string]time.Time{"production": ago(8 * day)}},
		{key: "asked", temporary: true, config: all, changed: ago(40 * day), requested: map[string]time.Time{"staging": ago(time.Hour)}},
		{key: "young", temporary: true, config: all, changed: ago(day)},
		{key: "needed", temporary: true, needed: true, config: all, changed: ago(40 * day)},
	}
	p := s.project(t, launchdarkly.ProjectOptions{})
	archive := func(key string) error { return p.Archive(t.Context(), key, 0, 0, "its code is gone") }
	for range 2 { // a flag that is archived is left alone
		if err := archive("done"); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive("asked"); !errors.Is(err, launchdarkly.ErrInUse) || !strings.Contains(err.Error(), "staging") {
		t.Error(err)
	}
	if err := archive("young"); !errors.Is(err, flags.ErrNotStale) {
		t.Error(err)
	}
	if err := archive("missing"); !errors.Is(err, flags.ErrNotFound) {
		t.Error(err)
	}
	if err := archive("needed"); err == nil || !strings.Contains(err.Error(), "prerequisite") {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"done: its code is gone"}, s.archived); diff != "" {
		t.Error(diff)
	}
}

func TestLimitsAndCollisionsAreWaitedFor(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.flags = []*flag{{key: "done", temporary: true, config: all, changed: ago(40 * day)}}
	reset := time.Now().Add(500 * time.Millisecond).Truncate(time.Millisecond)
	early := false
	s.trouble = []func(http.ResponseWriter){
		answering(429, "X-Ratelimit-Reset", strconv.FormatInt(reset.UnixMilli(), 10), "X-Ratelimit-Global-Remaining", "0"), // the flag
		func(w http.ResponseWriter) { early = time.Now().Before(reset); answering(503)(w) }, nil,
		answering(429, "Retry-After", "0"), nil, // its status
		answering(409), nil, // the patch
	}
	if err := s.project(t, launchdarkly.ProjectOptions{}).Archive(t.Context(), "done", 0, 0, ""); err != nil {
		t.Fatal(err)
	}
	if early {
		t.Error("it did not wait until the limit was reset")
	}
	if len(s.archived) != 1 || len(s.trouble) != 0 {
		t.Errorf("%v, %d left", s.archived, len(s.trouble))
	}
}

func TestWhatCannotBeWaitedForIsToldAndNotTriedAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		trouble []func(http.ResponseWriter)
		want    error
		says    string
	}{
		{"long limit", []func(http.ResponseWriter){answering(429, "Retry-After", "3600"), nil}, launchdarkly.ErrLimited, "1h0m0s"},
		{"forbidden", []func(http.ResponseWriter){answering(403), nil}, launchdarkly.ErrToken, "some message"},
		{"no JSON", []func(http.ResponseWriter){func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) }, nil}, nil, "not what the API says"},
		{"always a conflict", []func(http.ResponseWriter){answering(409), answering(409), answering(409), answering(409), answering(409), nil}, flags.ErrConflict, "5 times"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			s.trouble = c.trouble
			_, err := s.project(t, launchdarkly.ProjectOptions{}).Stale(t.Context(), 0)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Error(err)
			}
			if len(s.trouble) != 1 {
				t.Errorf("%d answers are left", len(s.trouble))
			}
		})
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.trouble = []func(http.ResponseWriter){answering(429, "Retry-After", "50"), nil}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	timer := time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	defer timer.Stop()
	if _, err := s.project(t, launchdarkly.ProjectOptions{}).Stale(ctx, 0); !errors.Is(err, cause) {
		t.Error(err)
	}
}

func TestTheTokenIsNotInErrorsAndGoesNowhereElse(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const wrong = "api-wrong-secret"
	_, err := s.project(t, launchdarkly.ProjectOptions{Token: wrong}).Stale(t.Context(), 0)
	if !errors.Is(err, launchdarkly.ErrToken) || strings.Contains(err.Error(), wrong) {
		t.Error(err)
	}
	other := serve(t)
	s.next = other.URL
	for i := range 101 {
		s.flags = append(s.flags, &flag{key: fmt.Sprint(i), config: everybody})
	}
	if _, err := s.project(t, launchdarkly.ProjectOptions{}).Stale(t.Context(), 0); err == nil || other.pages > 0 {
		t.Errorf("%v, %d pages of another", err, other.pages)
	}
	for _, o := range []launchdarkly.ProjectOptions{
		{Token: token, Project: "p", Environment: "e", Address: "http://ld.example.com"},
		{Token: token, Project: "p", Environment: "e", Address: "https://" + token + "@ld.example.com"},
		{Token: token, Project: "p"},
		{Project: "p", Environment: "e"},
	} {
		if _, err := launchdarkly.NewProject(o); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := launchdarkly.NewProject(launchdarkly.ProjectOptions{Token: token, Project: "p", Environment: "e"}); err != nil {
		t.Error(err)
	}
}
