// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package nginx

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Config is what belongs into nginx's own configuration, with a comment above
// each part that says where. An include must be there when nginx starts: write
// what Initial returns.
func (r *Router) Config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# At the top, outside of all blocks: how long requests go on in old workers.\n"+
		"worker_shutdown_timeout %s;\n\n", nginxTime(r.o.WorkerShutdown))
	fmt.Fprintf(&b, "# In http, beside an upstream for each arm.\ninclude %s;\n", r.include)
	if r.status != nil {
		fmt.Fprintf(&b, "server {\n"+
			"    listen %s;\n"+
			"    access_log off;\n"+
			"    location = /%s {\n"+
			"        default_type text/plain;\n"+
			"        return 200 \"rheostat $%s_generation\\n\";\n"+
			"    }\n"+
			"}\n", r.o.Status, r.o.Variable, r.o.Variable)
	}
	fmt.Fprintf(&b, "\n# In each location that the route is for.\nproxy_pass http://$%s;\n", r.o.Variable)
	return b.String()
}

// nginxTime is a time as nginx reads it, rounded up to a millisecond.
func nginxTime(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return fmt.Sprintf("%dms", (d+time.Millisecond-1)/time.Millisecond)
}

// Initial is an include to begin with, which sends every request to one
// upstream. Observe shows it as no route. An error names an upstream that cannot be one.
func (r *Router) Initial(upstream string) (string, error) {
	if upstream == "" {
		return "", errors.New("nginx: upstream: name one")
	}
	if err := checkName("upstream", upstream, armPattern); err != nil {
		return "", fmt.Errorf("nginx: %w", err)
	}
	text, _ := seal(r.o.Variable, note{}, blank(r.o.Variable, upstream))
	return text, nil
}
