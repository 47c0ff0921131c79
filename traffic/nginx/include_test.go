// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package nginx

import (
	"errors"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/internal/routertest"
	"github.com/rheostat-go/rheostat/traffic"
)

func split(edit func(*traffic.Split)) traffic.Route {
	r := traffic.Route{Arms: traffic.Arms{Stable: "blue", Candidate: "green"}, Split: traffic.Split{Candidate: traffic.Percent(25)}}
	edit(&r.Split)
	return r
}

var routes = map[string]traffic.Route{
	"nothing":    split(func(s *traffic.Split) { s.Candidate = 0 }),
	"least":      split(func(s *traffic.Split) { s.Candidate = step }),
	"quarter":    split(func(*traffic.Split) {}),
	"most":       split(func(s *traffic.Split) { s.Candidate = traffic.Full - step }),
	"everything": split(func(s *traffic.Split) { s.Candidate = traffic.Full }),
	"matches": split(func(s *traffic.Split) {
		s.Match = []traffic.Match{
			{Header: "X-Preview", Value: "yes"},
			{Cookie: "ring"},
			{Query: "preview", Value: "a b&c=d"},
			{Header: "X-Odd", Value: "\"; } $uri \\ # \n.*'é"},
		}
	}),
	"sticky-header": split(func(s *traffic.Split) { s.Sticky.Header = "X-User" }),
	"sticky-cookie": split(func(s *traffic.Split) {
		s.Sticky.Cookie = "side"
		s.Match = []traffic.Match{{Cookie: "ring", Value: "internal"}}
	}),
}

func TestTheIncludeOfARoute(t *testing.T) {
	t.Parallel()
	for name, route := range routes {
		text, _ := compose("rheostat_arm", note{Fence: 7, Route: digest(route)}, route)
		routertest.Golden(t, name+".conf", text)
	}
}

// parsed is what a file of that text is read as.
func parsed(text string) include {
	have := include{text: text}
	have.parse("rheostat_arm")
	return have
}

func TestARouteIsReadBackFromItsDirectives(t *testing.T) {
	t.Parallel()
	for name, route := range routes {
		text, generation := compose("rheostat_arm", note{Fence: 7, Route: digest(route)}, route)
		have := parsed(text)
		if have.foreign != nil || !have.route.Equal(route) || have.generation != generation || generationOf("rheostat_arm", have) != generation {
			t.Errorf("%s: read back as %v (%v)", name, have.route, have.foreign)
		}
		n, err := readNote(text)
		if err != nil || n == nil || *n != (note{7, digest(route)}) {
			t.Errorf("%s: the note is read back as %v, %v", name, n, err)
		}
	}
}

func TestAnEditByHandIsRead(t *testing.T) {
	t.Parallel()
	text, _ := compose("rheostat_arm", note{}, routes["quarter"])
	for _, edit := range []struct {
		old, new string
		want     traffic.Weight
	}{
		{"25.00%", "50%", traffic.Full / 2},
		{"25.00%", "0.5%", traffic.Full / 200},
		{"    25.00% \"candidate\";\n    * \"stable\";", "  # home\n*   stable ;", 0},
		{"* \"stable\"", "* 'stable'", traffic.Full / 4},
	} {
		have := parsed(strings.Replace(text, edit.old, edit.new, 1))
		if have.foreign != nil || have.route.Split.Candidate != edit.want || have.route.Arms != routes["quarter"].Arms {
			t.Errorf("with %q: %v, %v, want %v", edit.new, have.route, have.foreign, edit.want)
		}
	}
}

func TestWhatIsNoRouteIsForeign(t *testing.T) {
	t.Parallel()
	text, _ := compose("rheostat_arm", note{}, routes["sticky-cookie"])
	for _, edit := range [][2]string{
		{"25.00%", "25.001%"},
		{"25.00%", "25.00% \"candidate\"; 5%"},
		{"25.00% \"candidate\"", "25.00% \"stable\""},
		{"\n    * \"stable\"", "\n    * \"other\""},
		{"\"blue\"", "\"blue green\""},
		{"\"blue\"", "\"$host\""},
		{"\"green\";", "\"blue\";"},
		{"$cookie_ring", "$remote_addr"},
		{"$cookie_ring", "$cookie_"},
		{"~^internal\\z", "~^inter.*\\z"},
		{"~^internal\\z", "internal"},
		{"\"candidate\";\n    default $r", "\"stable\";\n    default $r"},
		{"green/$cookie_side", "$cookie_side"},
		{"$request_id;", "$remote_addr;"},
		{"\nsplit_clients", "\ngeo"},
		{"$rheostat_arm_key $", "$remote_addr $"},
		{"\nsplit_clients", "\nmap $a $b { default 1; }\nsplit_clients"},
		{"split_clients", "server { listen 80; }\nsplit_clients"},
		{"split_clients", "include more.conf;\nsplit_clients"},
		{"* \"stable\";\n}", "* \"stable\";"},
		{"* \"stable\";", "* \"stable;"},
		{"* \"stable\";", "* \"stable\" x;"},
		{"map $pid", "map $uri"},
	} {
		if !strings.Contains(text, edit[0]) {
			t.Fatalf("the include has no %q", edit[0])
		}
		if have := parsed(strings.Replace(text, edit[0], edit[1], 1)); have.foreign == nil || !have.route.IsZero() {
			t.Errorf("with %q for %q: %v, want a reason why it is none", edit[1], edit[0], have.route)
		}
	}
}

func TestADamagedFenceIsNotAnotherOne(t *testing.T) {
	t.Parallel()
	line := note{Fence: 1234567, Route: digest(routes["quarter"])}.line()
	for i := len(noteMark); i < len(line)-1; i++ {
		for bit := range 8 {
			damaged := []byte(line)
			damaged[i] ^= 1 << bit
			if n, err := readNote(string(damaged)); err == nil && (n == nil || n.Fence != 1234567) {
				t.Fatalf("%q is read as %v", damaged, n)
			}
		}
	}
}

func TestNamesThatNginxHasNoVariableForAreUnsupported(t *testing.T) {
	t.Parallel()
	for field, edit := range map[string]func(*traffic.Route){
		"arms.stable":     func(r *traffic.Route) { r.Arms.Stable = "a;b" },
		"arms.candidate":  func(r *traffic.Route) { r.Arms.Candidate = "$host" },
		"sticky.cookie":   func(r *traffic.Route) { r.Split.Sticky.Cookie = "a-b" },
		"sticky.header":   func(r *traffic.Route) { r.Split.Sticky.Header = "a_b" },
		"match[0].header": func(r *traffic.Route) { r.Split.Match = []traffic.Match{{Header: "a b"}} },
		"match[0].cookie": func(r *traffic.Route) { r.Split.Match = []traffic.Match{{Cookie: "a.b"}} },
		"match[1].query":  func(r *traffic.Route) { r.Split.Match = []traffic.Match{{Query: "a"}, {Query: "b}"}} },
		"match[0].value": func(r *traffic.Route) {
			r.Split.Match = []traffic.Match{{Query: "a", Value: strings.Repeat("/", longestQuery+1)}}
		},
		"match": func(r *traffic.Route) {
			for range mostMatches + 1 {
				r.Split.Match = append(r.Split.Match, traffic.Match{Query: "a"})
			}
		},
	} {
		route := split(func(*traffic.Split) {})
		edit(&route)
		if err := check(route); !errors.Is(err, errors.ErrUnsupported) || !strings.HasPrefix(err.Error(), field) {
			t.Errorf("%s: %v, want it named, and errors.ErrUnsupported", field, err)
		}
	}
}

func TestTheLongestRouteFitsIntoWhatNginxReads(t *testing.T) {
	t.Parallel()
	text, _ := compose("rheostat_arm", note{}, longest())
	for line := range strings.SplitSeq(text, "\n") {
		if len(line) > 4000 {
			t.Errorf("a line has %d bytes; nginx reads 4096", len(line))
		}
	}
	if have := parsed(text); have.foreign != nil || len(text) > longestInclude {
		t.Errorf("%d bytes are read as %v", len(text), have.foreign)
	}
}

// longest has as many and as long matches as are let through.
func longest() traffic.Route {
	return split(func(s *traffic.Split) {
		for i := range mostMatches {
			m := traffic.Match{Header: strings.Repeat("H", longestName), Value: strings.Repeat(".", longestValue)}
			if i%2 == 1 {
				m = traffic.Match{Query: strings.Repeat("q", longestName), Value: strings.Repeat("/", longestQuery)}
			}
			s.Match = append(s.Match, m)
		}
	})
}

// FuzzRouteKeepsItsQuotes writes whatever check lets through, and wants the same
// route back, of exactly the directives that belong to it.
func FuzzRouteKeepsItsQuotes(f *testing.F) {
	f.Add("blue", "green", "X-Preview", "yes", "side", uint32(250_000), uint8(0))
	f.Add("a", "b", "preview", "\"; } $x { \\ # \n", "", uint32(0), uint8(2))
	f.Add("a;", "b}", "x\n", "%2b+&", "u\"", uint32(1_000_000), uint8(1))
	f.Fuzz(func(t *testing.T, stable, candidate, name, value, sticky string, weight uint32, kind uint8) {
		route := traffic.Route{Arms: traffic.Arms{Stable: stable, Candidate: candidate}}
		route.Split.Candidate = traffic.Weight(weight) / step * step
		m := traffic.Match{Value: value}
		switch kind % 3 {
		case 0:
			m.Header, route.Split.Sticky.Header = name, sticky
		case 1:
			m.Cookie, route.Split.Sticky.Cookie = name, sticky
		case 2:
			m.Query = name
		}
		route.Split.Match = []traffic.Match{m, {Header: "X"}, m}
		if route.Validate() != nil || check(route) != nil {
			return
		}
		text, generation := compose("rheostat_arm", note{}, route)
		have := parsed(text)
		if have.foreign != nil || !have.route.Equal(route) || have.generation != generation {
			t.Fatalf("%+v is read back as %+v: %v\n%s", route, have.route, have.foreign, text)
		}
		want := 6
		if route.Split.Sticky != (traffic.Sticky{}) {
			want++
		}
		list, err := words(text)
		braces := 0
		for _, w := range list {
			if w == "{" {
				braces++
			}
		}
		if err != nil || braces != want {
			t.Fatalf("%d directives, want %d: %v\n%s", braces, want, err, text)
		}
		for line := range strings.SplitSeq(directives("rheostat_arm", route), "\n") {
			for i := range len(line) {
				if c := line[i]; c < ' ' || c > '~' || c == '\'' || c == '#' {
					t.Fatalf("byte %q in %q", c, line)
				}
			}
			if strings.Count(line, `"`)%2 != 0 || strings.Contains(line, `\"`) {
				t.Fatalf("quotes in %q", line)
			}
		}
	})
}

// FuzzWhatIsReadIsWrittenAgain reads any text; a route that is found in it is one
// that would be written.
func FuzzWhatIsReadIsWrittenAgain(f *testing.F) {
	for _, route := range routes {
		text, _ := compose("rheostat_arm", note{}, route)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		have := parsed(text)
		_, _ = readNote(text)
		if have.foreign != nil || have.route.IsZero() {
			return
		}
		if err := errors.Join(have.route.Validate(), check(have.route)); err != nil {
			t.Fatalf("%v: %v", have.route, err)
		}
		again, _ := compose("rheostat_arm", note{}, have.route)
		if back := parsed(again); !back.route.Equal(have.route) {
			t.Fatalf("%v is read back as %v", have.route, back.route)
		}
	})
}
