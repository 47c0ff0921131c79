// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"path"
	"slices"
	"strings"
)

// leaves are the six packages that know nothing but the standard library.
var leaves = []string{"analysis", "flags", "migrate", "observe", "rollback", "traffic"}

// importRule says what the packages that match From may import beside the
// standard library. The first rule that matches a package decides.
type importRule struct {
	// From is path.Match patterns on the path from the root of the module, where
	// a trailing "/..." stands for everything below.
	From []string
	// Own are patterns of this module's packages that may be imported, where
	// PARENT is the first element of the importer's path and SELF is what the
	// importer shares a folder with.
	Own []string
	// OneOf allows at most one of these on top, to join two sides that must not
	// know each other.
	OneOf []string
	// Clients is how many client libraries of others may be imported; -1 is any.
	Clients int
	// Why is printed with each breach.
	Why string
}

// importRules is the dependency rule of the repository.
var importRules = []importRule{
	{
		From: []string{"examples/...", "examples"}, Own: []string{"..."}, Clients: -1,
		Why: "examples are programs, and may use everything",
	},
	{
		From: []string{"internal/archtest", "internal/dbtest", "internal/kubefake", "internal/routertest", "internal/script", "internal/mocks/...", "internal/tools/...", "internal/bench/..."},
		Own:  []string{"..."}, Clients: -1,
		Why: "test support is never linked into anybody's program",
	},
	{
		From: []string{"internal/kube"}, Own: nil, Clients: 1,
		Why: "what the adapters to Kubernetes share is about Kubernetes' objects; nothing else imports it",
	},
	{
		From: []string{"internal/..."}, Own: []string{"internal/..."}, Clients: 0,
		Why: "what adapters share must not drag in a domain or a client library",
	},
	{
		From: []string{"strategy/strategytest"}, Own: []string{"strategy", "traffic", "analysis", "*/*test", "SELF/..."}, Clients: 0,
		Why: "a test package knows its parent and what its parent's interface is made of",
	},
	{
		From: []string{"strategy/monitor/monitortest"}, Own: []string{"strategy/monitor", "rollback", "analysis"}, Clients: 0,
		Why: "a test package knows its parent and what its parent's interface is made of",
	},
	{
		From: []string{"*/*test", "*/*test/..."}, Own: []string{"PARENT", "*/*test", "SELF/..."}, Clients: 0,
		Why: "a conformance suite must be usable by a stranger who imports nothing else",
	},
	{
		From: []string{"."}, Clients: 0,
		Why: "the root package is the tour; whoever reads it should link nothing",
	},
	{
		From: leaves, Own: []string{"internal/...", "PARENT/internal/*"}, Clients: 0,
		Why: "a leaf imports the standard library only, and what is internal, which does too: its users pay for nothing else and no domain knows another",
	},
	{
		From: []string{"strategy"}, Own: []string{"traffic", "analysis"}, Clients: 0,
		Why: "strategy imports traffic and analysis, nothing else; everything further plugs in as a Task, a Store or an Observer through a bridge",
	},
	{
		From: []string{"strategy/yaml"}, Own: []string{"strategy", "internal/onedoc"}, Clients: 1,
		Why: "a format is an adapter: it knows its parent, and the one library that reads it",
	},
	{
		From: []string{"strategy/kube/kubetest"}, Own: []string{"internal/..."}, Clients: 1,
		Why: "a control plane for tests knows Kubernetes and nothing of ours",
	},
	{
		From: []string{"strategy/kube", "strategy/workload"}, Own: []string{"strategy", "traffic", "analysis", "SELF/...", "internal/..."}, Clients: 1,
		Why: "strategy on Kubernetes is an adapter: its parents and client-go",
	},
	{
		From: []string{"strategy/*", "strategy/*/..."}, Own: []string{"strategy", "traffic", "analysis", "SELF/..."},
		OneOf: []string{"flags", "migrate", "observe", "rollback"}, Clients: 0,
		Why: "a bridge joins strategy and one sibling, so that neither side knows the other",
	},
	{
		From: []string{"traffic/xds"}, Own: []string{"traffic", "internal/..."}, Clients: 2,
		Why: "xDS is two libraries by its nature: Envoy's messages, and gRPC with protobuf to carry them",
	},
	{
		From: []string{"*/internal/*"}, Own: []string{"PARENT", "PARENT/internal/*", "internal/..."}, Clients: 0,
		Why: "what the adapters of one parent share knows the parent and what else they share, and no client library",
	},
	{
		From: []string{"*/*", "*/*/..."}, Own: []string{"PARENT", "PARENT/internal/*", "SELF/...", "internal/..."}, Clients: 1,
		Why: "an adapter imports its parent, what its siblings share, the standard library and at most one client library",
	},
}

// testOnly are packages that no production code imports, with the reason.
var testOnly = []struct{ pattern, why string }{
	{"testing", "it registers flags and adds weight in every binary; put it in an xxxtest package"},
	{"testing/...", "it registers flags and adds weight in every binary; put it in an xxxtest package"},
	{"github.com/google/go-cmp/...", "it is made for tests and may panic; compare our own fields"},
	{"go.uber.org/mock/...", "mocks are for our own tests; publish a stateful fake instead"},
	{Module + "/internal/archtest", "it is for our own tests"},
	{Module + "/internal/dbtest", "it is for our own tests"},
	{Module + "/internal/kubefake", "it is for our own tests"},
	{Module + "/internal/routertest", "it is for our own tests"},
	{Module + "/internal/script", "it is for our own tests"},
	{Module + "/internal/mocks/...", "mocks are for our own tests; publish a stateful fake instead"},
	{Module + "/*/*test", "doubles and suites belong in tests; a stateful Memory is what production code may use"},
	{Module + "/*/*/*test", "doubles and suites belong in tests; a stateful Memory is what production code may use"},
}

// Imports checks the direct imports of p's production files against the table.
func Imports(p Package, isStd func(path string) bool) []Problem {
	from, ok := Rel(p.ImportPath)
	if !ok {
		return nil
	}
	rule, ok := ruleFor(from)
	if !ok {
		return []Problem{problemf(p.ImportPath, "say in internal/archtest/imports.go what it may import", "no import rule covers this package")}
	}
	var problems []Problem
	var clients, siblings []string
	for _, imported := range p.Imports {
		if why := deniedOutsideTests(from, imported); why != "" {
			problems = append(problems, problemf(p.ImportPath, why, "imports %s", imported))
			continue
		}
		rel, own := Rel(imported)
		switch {
		case own && rule.ownAllowed(from, rel):
		case own && slices.Contains(rule.OneOf, rel):
			siblings = append(siblings, rel)
		case own:
			problems = append(problems, problemf(p.ImportPath, rule.Why, "imports %s", rel))
		case isStd(imported):
		default:
			clients = append(clients, clientOf(imported))
		}
	}
	slices.Sort(clients)
	clients = slices.Compact(clients)
	if rule.Clients >= 0 && len(clients) > rule.Clients {
		problems = append(problems, problemf(p.ImportPath, rule.Why, "imports %s; allowed are %d of others", strings.Join(clients, " and "), rule.Clients))
	}
	if len(siblings) > 1 {
		problems = append(problems, problemf(p.ImportPath, rule.Why, "joins %s", strings.Join(siblings, " and ")))
	}
	return problems
}

// Links checks everything that p links, however deep, for what belongs in tests.
func Links(p Package) []Problem {
	from, ok := Rel(p.ImportPath)
	if !ok || testSupport(from) || matches("examples/...", from) {
		return nil
	}
	var problems []Problem
	for _, dep := range p.Deps {
		if why := deniedOutsideTests(from, dep); why != "" {
			problems = append(problems, problemf(p.ImportPath, why, "links %s", dep))
		}
	}
	return problems
}

func ruleFor(from string) (importRule, bool) {
	for _, r := range importRules {
		if matchesAny(r.From, from) {
			return r, true
		}
	}
	return importRule{}, false
}

func (r importRule) ownAllowed(from, rel string) bool {
	parent, rest, _ := strings.Cut(from, "/")
	second, _, _ := strings.Cut(rest, "/")
	for _, pattern := range r.Own {
		pattern = strings.ReplaceAll(pattern, "PARENT", parent)
		pattern = strings.ReplaceAll(pattern, "SELF", parent+"/"+second)
		if matches(pattern, rel) {
			return true
		}
	}
	return false
}

// deniedOutsideTests is why from must not import a package that belongs in
// tests, or "".
func deniedOutsideTests(from, imported string) string {
	if matches("examples/...", from) || matchesAny([]string{"internal/archtest", "internal/dbtest", "internal/kubefake", "internal/routertest", "internal/script", "internal/mocks/...", "internal/bench/..."}, from) {
		return ""
	}
	for _, t := range testOnly {
		if !matches(t.pattern, imported) {
			continue
		}
		ours := strings.HasPrefix(imported, Module+"/") && strings.HasSuffix(imported, "test")
		if testSupport(from) && (ours || matches("testing/...", imported)) {
			return ""
		}
		return t.why
	}
	return ""
}

// testSupport reports whether from is one of the xxxtest packages, which are
// imported by tests alone.
func testSupport(from string) bool {
	return matchesAny([]string{"*/*test", "*/*test/...", "*/*/*test"}, from)
}

// clientOf names the library that an import path belongs to: the owner on a
// forge, the host elsewhere. What comes from one owner counts as one library.
func clientOf(imported string) string {
	parts := strings.Split(imported, "/")
	if len(parts) > 1 && (parts[0] == "github.com" || parts[0] == "gitlab.com" || parts[0] == "codeberg.org") {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// matches is path.Match, where a trailing "/..." also stands for everything
// below, and "..." alone for anything.
func matches(pattern, name string) bool {
	if pattern == "..." {
		return true
	}
	base, deep := strings.CutSuffix(pattern, "/...")
	for {
		if ok, err := path.Match(base, name); err != nil {
			panic("BUG: pattern " + pattern + ": " + err.Error())
		} else if ok {
			return true
		}
		if i := strings.LastIndexByte(name, '/'); deep && i >= 0 {
			name = name[:i]
			continue
		}
		return false
	}
}
