// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rheostat-go/rheostat/observe"
	"github.com/rheostat-go/rheostat/observe/prometheus"
)

// realBinary is the path of a program that a test needs. Where it is missing the
// test is skipped by name, or fails when RHEOSTAT_REAL=1 asks for the real thing.
func realBinary(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("RHEOSTAT_REAL") == "1":
		t.Fatalf("RHEOSTAT_REAL=1 and %s is not installed: %v", name, err)
	default:
		t.Skipf("%s is not installed", name)
	}
	return ""
}

// exposed serves a story's metrics as a program would.
func exposed(t *testing.T) *httptest.Server {
	t.Helper()
	reg := prom.NewRegistry()
	obs, err := prometheus.New(reg, prometheus.Options{Environment: "production", MaxServices: 1})
	if err != nil {
		t.Fatal(err)
	}
	reg.MustRegister(prometheus.NewArms("checkout", "eu", fakeArms{}))
	tell(t, obs, story()...)
	tell(t, obs, observe.Event{Service: "no room", Run: 1, Rev: 1, Kind: observe.Promoted, Outcome: observe.OutcomePromoted, Version: "\xff\"\n\\"})
	server := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	t.Cleanup(server.Close)
	return server
}

func TestRealPromtoolFindsNothingWrong(t *testing.T) {
	t.Parallel()
	promtool := realBinary(t, "promtool")
	body := get(t, exposed(t).URL)
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = bytes.NewReader(body)
	out, err := check.CombinedOutput()
	if err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	if !bytes.Contains(body, []byte("deployments_total{")) {
		t.Errorf("there was nothing to check:\n%s", body)
	}
}

func TestRealPrometheusScrapesAndAnswers(t *testing.T) {
	t.Parallel()
	base := startPrometheus(t, realBinary(t, "prometheus"), exposed(t).Listener.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	// The metadata is there after the first scrape, and so is everything else.
	for query, want := range map[string]string{
		`deployments_total{version="v2",environment="production",status="failure"}`: "1",
		`deployments_rollback_total`:                                                                "1",
		`canary_traffic_weight{service="checkout"}`:                                                 "0",
		`deployment_duration_seconds_sum{version="v2"}`:                                             "94",
		`rheostat_rollback_seconds_sum / rheostat_rollback_seconds_count`:                           "4",
		`sum(rheostat_traffic_weight_ratio{service="checkout"})`:                                    "1",
		`rheostat_request_errors_total{service="checkout",arm="v1"} / rheostat_requests_total`:      "0.3",
		`histogram_quantile(0.4, rheostat_request_duration_seconds_bucket{service="checkout"}) > 0`: "0.01",
	} {
		if got, err := answer(ctx, base, query); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", query, got, err, want)
		}
	}
}

// startPrometheus runs a private server over a scrape target and gives its address.
func startPrometheus(t *testing.T, binary, target string) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: rheostat\n  static_configs: [{targets: [%q]}]\n", target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Logf("prometheus: %v", err)
		}
	})
	address := make(chan string, 1)
	go func() {
		defer close(address)
		listening := regexp.MustCompile(`(?i)msg="?listening on"? address=(\S+)`)
		var log strings.Builder
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case address <- m[1]:
				default:
				}
			}
			if log.Len() < 1<<16 {
				log.WriteString(lines.Text() + "\n")
			}
		}
	}()
	select {
	case a := <-address:
		if a == "" {
			t.Fatal("prometheus ended before it listened")
		}
		return "http://" + a
	case <-time.After(60 * time.Second):
		t.Fatal("prometheus did not say where it listens")
	}
	return ""
}

// answer asks until the query has a result.
func answer(ctx context.Context, base, query string) (string, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		value, err := ask(ctx, base, query)
		if err == nil && value != "" {
			return value, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", fmt.Errorf("no result (%w), last error: %w", ctx.Err(), err)
		}
	}
}

func ask(ctx context.Context, base, query string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v1/query?query="+url.QueryEscape(query), http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	var reply struct {
		Error string
		Data  struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&reply); err != nil {
		return "", err
	}
	if reply.Error != "" {
		return "", fmt.Errorf("%s", reply.Error)
	}
	if len(reply.Data.Result) == 0 {
		return "", nil
	}
	value, _ := reply.Data.Result[0].Value[1].(string)
	return value, nil
}

func get(t *testing.T, address string) []byte {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", address, res.Status, err, &body)
	}
	return body.Bytes()
}
