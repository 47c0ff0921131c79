// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package nginx

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
)

// status asks nginx which include its workers have.
type status struct {
	url    string
	client *http.Client
}

// newStatus is for an address as nginx's listen directive has it.
func newStatus(address, variable string) (*status, error) {
	network, dial := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, dial = "unix", path
		if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, notInPath) {
			return nil, fmt.Errorf("nginx: options.status: %q: want an absolute path after unix:, of letters, digits and /.@+-_ only", address)
		}
	} else if host, port, err := net.SplitHostPort(address); err != nil || port == "" || net.ParseIP(host) == nil || strings.ContainsAny(address, "%") {
		return nil, fmt.Errorf("nginx: options.status: %q: want an address such as 127.0.0.1:9180, or unix: and a path", address)
	} else if _, err := net.LookupPort("tcp", port); err != nil || strings.Trim(port, "0123456789") != "" {
		return nil, fmt.Errorf("nginx: options.status: %q: want a number as its port", address)
	}
	transport := &http.Transport{
		// Each question on a connection of its own: one that is kept open belongs to
		// a worker, and would go on with an old one.
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, dial)
		},
	}
	return &status{
		url: "http://rheostat/" + variable,
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// notInPath is for paths that are printed into a configuration.
func notInPath(c rune) bool {
	return c >= 0x80 || !isAlnum(byte(c)) && !strings.ContainsRune("/.@+-_", c)
}

// answerPattern is what the server that Config prints answers.
var answerPattern = regexp.MustCompile(`^rheostat ([0-9a-f]{32})\n$`)

// generation is that of the worker which answers.
func (s *status) generation(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return "", fmt.Errorf("options.status: %w", err)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("options.status: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 256))
	if err != nil {
		return "", fmt.Errorf("options.status: %w", err)
	}
	found := answerPattern.FindSubmatch(text)
	if res.StatusCode != http.StatusOK || found == nil {
		return "", fmt.Errorf("options.status: nginx answers %s and %.40q; has it the server that Config prints?", res.Status, text)
	}
	return string(found[1]), nil
}
