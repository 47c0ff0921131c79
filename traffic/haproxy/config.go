// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package haproxy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/traffic"
)

// Config is what HAProxy's configuration and a Router must agree on. Only Map
// is required.
type Config struct {
	// Map is the file that holds the route, exactly as HAProxy's configuration
	// names it. One map holds one route.
	Map string
	// Name begins the names of the variables of a request that the rules use, so
	// that one frontend can hold several routes: lower case letters, digits and
	// underscores. The default is "rheostat".
	Name string
	// Headers, Cookies and Queries are the names that a route may look at, for
	// matches and to be sticky by: letters, digits, dots, dashes and
	// underscores. A route must spell them in the same way.
	Headers, Cookies, Queries []string
	// GiveCookies lets HAProxy give a random identity for thirty days to a client
	// that lacks the cookie that a route is sticky by. Without it such a client is
	// not sticky. It is no good where the application gives that cookie itself.
	GiveCookies bool
	// When is a condition in HAProxy's language on the requests that the route is
	// for, such as "{ path_beg /api }". The default is all of the frontend's.
	When string
}

const defaultName = "rheostat"

var (
	pathPattern     = regexp.MustCompile(`^[A-Za-z0-9_./@+-]+$`)
	namePattern     = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	variablePattern = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// validate fills defaults, and names the first field that HAProxy could not read.
func (c Config) validate() (Config, error) {
	if c.Name == "" {
		c.Name = defaultName
	}
	switch {
	case c.Map == "":
		return c, errors.New("haproxy: config.map: name the file of the map")
	case !pathPattern.MatchString(c.Map):
		return c, fmt.Errorf("haproxy: config.map: %q: use letters, digits and ./@+-_ only", c.Map)
	case !variablePattern.MatchString(c.Name):
		return c, fmt.Errorf("haproxy: config.name: %q: use lower case letters, digits and underscores", c.Name)
	case strings.ContainsAny(c.When, "\r\n"):
		return c, errors.New("haproxy: config.when: keep the condition on one line")
	}
	for _, list := range []struct {
		field string
		names []string
	}{{"headers", c.Headers}, {"cookies", c.Cookies}, {"queries", c.Queries}} {
		for i, name := range list.names {
			if !namePattern.MatchString(name) {
				return c, fmt.Errorf("haproxy: config.%s[%d]: %q: use letters, digits, dots, dashes and underscores", list.field, i, name)
			}
		}
	}
	c.Headers, c.Cookies, c.Queries = slices.Clone(c.Headers), slices.Clone(c.Cookies), slices.Clone(c.Queries)
	return c, nil
}

// seen is one thing of a request that a route may name.
type seen struct {
	token string // in the map: what kind it is, and its name
	fetch string // in HAProxy's language
}

func (c Config) keys() (list []seen) {
	for _, name := range c.Headers {
		list = append(list, seen{"h:" + name, "req.fhdr(" + name + ")"})
	}
	for _, name := range c.Cookies {
		list = append(list, seen{"c:" + name, "req.cook(" + name + ")"})
	}
	return list
}

func (c Config) all() []seen {
	list := c.keys()
	for _, name := range c.Queries {
		list = append(list, seen{"q:" + name, "urlp(" + name + "),url_dec(1)"})
	}
	return list
}

// Rules is what belongs into the frontend, one rule a line. The http-request
// rules stand behind those that change a request, the use_backend rule before
// any other; several routes in one frontend have several of those, all at the
// end. Where there is no route the frontend goes on with its own rules, and where
// the backend that a route names is missing, with its default_backend. An error
// names the field of c that is wrong.
func (c Config) Rules() (string, error) {
	c, err := c.validate()
	if err != nil {
		return "", err
	}
	v := "txn." + c.Name
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "    "+format+"\n", args...) }
	when := ""
	if c.When != "" {
		when = " if " + c.When
	}
	line("http-request set-var(%s) int(%d),map_int(%s)%s", v, pivot, c.Map, when)
	line("http-request set-var(%s_weight) var(%s),field(1,|),add(0)", v, v)
	line("http-request set-var(%s_arm) var(%s),field(2,|)", v, v)
	line("http-request set-var(%s_candidate) var(%s),field(3,|)", v, v)
	if len(c.keys()) > 0 {
		c.sticky(line, v)
	}
	line("http-request set-var(%s_place) rand(%d) if !{ var(%s_place) -m found }", v, traffic.Full, v)
	line("http-request set-var(%s_arm) var(%s_candidate) if { var(%s_place),sub(%s_weight) lt 0 }", v, v, v, v)
	if len(c.all()) > 0 {
		line("http-request set-var(%s_match) var(%s),field(5,|)", v, v)
	}
	for _, k := range c.all() {
		// The value of the request, a bar and the list of the route are one text,
		// in which the value must come again: HAProxy compares a text with a
		// variable, but does not search a variable. Captures need a name.
		line(`http-request set-var(%s_arm) var(%s_candidate) if { var(%s_match) -m len gt 1 } { %s,base64,concat(|,%s_match) -m reg '^(?<v>[^|]+)\|.*,%s(=\k<v>)?,' }`,
			v, v, v, k.fetch, v, regexp.QuoteMeta(k.token))
	}
	line("use_backend %%[var(%s_arm)] if { var(%s_arm) -m found }", v, v)
	return b.String(), nil
}

// sticky gives a request a place by what it carries instead of by chance. The
// candidate's name is part of the hash, so that another rollout meets other
// clients first.
func (c Config) sticky(line func(string, ...any), v string) {
	line("http-request set-var(%s_sticky) var(%s),field(4,|)", v, v)
	for _, k := range c.keys() {
		line(`http-request set-var-fmt(%s_key) "%%[var(%s_candidate)]/%%[%s]" if { var(%s_sticky) -m str %s } { %s,length gt 0 }`, v, v, k.fetch, v, k.token, k.fetch)
	}
	if c.GiveCookies {
		for _, name := range c.Cookies {
			lacks := fmt.Sprintf("{ var(%s_sticky) -m str c:%s } !{ req.cook(%s),length gt 0 }", v, name, name)
			given := fmt.Sprintf("{ var(%s_sticky) -m str c:%s } { var(%s_new) -m found }", v, name, v)
			line("http-request set-var(%s_new) uuid() if %s", v, lacks)
			for _, s := range []struct{ attribute, when string }{{"", "!{ ssl_fc }"}, {"; Secure", "{ ssl_fc }"}} {
				line(`http-after-response add-header Set-Cookie "%s=%%[var(%s_new)]; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax%s" if %s %s`, name, v, s.attribute, given, s.when)
			}
		}
		line(`http-request set-var-fmt(%s_key) "%%[var(%s_candidate)]/%%[var(%s_new)]" if { var(%s_new) -m found }`, v, v, v, v)
	}
	line("http-request set-var(%s_place) var(%s_key),xxh64,and(9223372036854775807),mod(%d) if { var(%s_key) -m found }", v, v, traffic.Full, v)
}

// Sample is a whole configuration around Rules, to try it and to test with: the
// stats socket at the path socket, a frontend on the address bind, and for each
// arm a backend of that name over its servers ("10.0.0.1:8080"). For production,
// put Rules into your own.
func (c Config) Sample(socket, bind string, arms map[string][]string) (string, error) {
	rules, err := c.Rules()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "global\n    stats socket %s mode 600 level admin expose-fd listeners\n", socket)
	b.WriteString("defaults\n    mode http\n    timeout connect 2s\n    timeout client 30s\n    timeout server 30s\n    timeout http-keep-alive 60s\n")
	fmt.Fprintf(&b, "frontend front\n    bind %s\n%s", bind, rules)
	names := make([]string, 0, len(arms))
	for name := range arms {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "backend %s\n", name)
		for i, address := range arms[name] {
			fmt.Fprintf(&b, "    server s%d %s\n", i+1, address)
		}
	}
	return b.String(), nil
}
