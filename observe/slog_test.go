// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package observe_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/observe"
)

func jsonLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

func textLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestSlogWritesOneLineAtTheRightLevel(t *testing.T) {
	t.Parallel()
	shares := []observe.Share{{Target: "eu", Candidate: 250_000}, {Target: "us", Candidate: 5_000}}
	cases := []struct {
		name string
		in   observe.Event
		want string
	}{
		{
			"a transition",
			observe.Event{Service: "checkout", Run: 2, Rev: 7, Kind: observe.StepEntered, Phase: "progressing", Step: "25%", Shares: shares[:1], Version: "v2"},
			`level=INFO msg=stepEntered service=checkout run=2 rev=7 phase=progressing step=25% weight=25% version=v2`,
		},
		{
			"several targets",
			observe.Event{Service: "checkout", Run: 2, Rev: 8, Kind: observe.Settled, Shares: shares},
			`level=INFO msg=settled service=checkout run=2 rev=8 weight.eu=25% weight.us=0.5%`,
		},
		{
			"drift",
			observe.Event{Service: "checkout", Run: 2, Rev: 9, Kind: observe.Drifted, By: "kubectl", Reason: "somebody else wrote"},
			`level=WARN msg=drifted service=checkout run=2 rev=9 reason="somebody else wrote" by=kubectl`,
		},
		{
			"a failed return",
			observe.Event{Service: "checkout", Run: 2, Rev: 10, Kind: observe.RollbackFailed, Outcome: observe.OutcomeRollbackFailed, Cause: observe.CauseCheck},
			`level=ERROR msg=rollbackFailed service=checkout run=2 rev=10 outcome=rollbackFailed cause=check`,
		},
		{
			"a hold that pages",
			observe.Event{Service: "checkout", Run: 2, Rev: 11, Kind: observe.Held, Page: true},
			`level=ERROR msg=held service=checkout run=2 rev=11`,
		},
		{
			"a verdict",
			observe.Event{Service: "checkout", Run: 2, Rev: 12, Kind: observe.Judged, Check: "errors", Verdict: "fail", Reason: "line\nbreak"},
			`level=INFO msg=judged service=checkout run=2 rev=12 check=errors verdict=fail reason="line\nbreak"`,
		},
	}
	for _, c := range cases {
		var b strings.Builder
		if err := observe.Slog(textLogger(&b)).Observe(t.Context(), c.in); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := strings.TrimSuffix(b.String(), "\n"); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
	if err := observe.Slog(nil).Observe(t.Context(), observe.Event{}); err != nil {
		t.Errorf("without a logger: %v", err)
	}
}

func TestASecretNeverPrints(t *testing.T) {
	t.Parallel()
	const planted = "xoxb-planted-0815"
	secret := observe.NewSecret(planted)
	if secret.Reveal() != planted || secret.IsZero() {
		t.Fatalf("Reveal = %q", secret.Reveal())
	}
	type hidden struct{ token observe.Secret }
	type open struct {
		Token observe.Secret
		Deep  map[string]*observe.Secret
	}
	values := []any{
		secret, &secret,
		hidden{secret},
		&hidden{secret},
		open{secret, map[string]*observe.Secret{"k": &secret}},
		[]observe.Secret{secret},
		map[string]observe.Secret{"k": secret},
		fmt.Errorf("dial %v: refused", secret),
	}
	var out strings.Builder
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%o"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if data, err := json.Marshal(v); err == nil {
			out.Write(data)
		}
		textLogger(&out).Info("text", "secret", v)
		jsonLogger(&out).Info("json", "secret", v)
	}
	// %x of the text, and of its bytes as decimals, would give it away as well.
	for _, form := range []string{planted, fmt.Sprintf("%x", planted), fmt.Sprintf("%X", planted), fmt.Sprintf("%d", []byte(planted))} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret was printed as %q", form)
		}
	}
	var zero observe.Secret
	if !zero.IsZero() || zero.Reveal() != "" || zero.String() == "" {
		t.Error("the zero secret is not safe")
	}
}

func TestASecretIsReadFromConfigurationButNotFromWhatItWasWrittenAs(t *testing.T) {
	t.Parallel()
	var config struct{ Token observe.Secret }
	if err := json.Unmarshal([]byte(`{"Token":"hunter2"}`), &config); err != nil || config.Token.Reveal() != "hunter2" {
		t.Fatalf("read %q, %v", config.Token.Reveal(), err)
	}
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &config); err == nil {
		t.Error("a redacted secret was read back as though it were one")
	}
}
