// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"context"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

// Each rule is shown a breach here. A rule that lets one pass is no rule.

// stdExports are the export data of the packages that the sources below use.
var stdExports = sync.OnceValues(func() (map[string]string, error) {
	all, err := List(context.Background(), ".", "-export", "-deps", "time", "maps", "slices", "sync", "os", "math/rand/v2", "context", "fmt")
	exports := map[string]string{}
	for _, p := range all {
		exports[p.ImportPath] = p.Export
	}
	return exports, err
})

// source is a package strategy made of the file texts given, by name.
func source(t *testing.T, files map[string]string) *Source {
	t.Helper()
	exports, err := stdExports()
	if err != nil {
		t.Fatal(err)
	}
	s := &Source{Path: Module + "/strategy", Fset: token.NewFileSet()}
	for name, text := range files {
		f, err := parser.ParseFile(s.Fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			s.Tests = append(s.Tests, f)
		} else {
			s.Files = append(s.Files, f)
		}
	}
	slices.SortFunc(s.Files, func(a, b *ast.File) int { return strings.Compare(s.file(a.Package), s.file(b.Package)) })
	imp := importer.ForCompiler(s.Fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data for %s", path)
		}
		return os.Open(exports[path])
	})
	if err := s.check(imp); err != nil {
		t.Fatal(err)
	}
	return s
}

// expect wants problems that contain these texts, one each, in order.
func expect(t *testing.T, got []Problem, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %d problems %q, want %d %q", len(got), got, len(want), want)
		return
	}
	for i, p := range got {
		if !strings.Contains(p.String(), want[i]) {
			t.Errorf("problem %d is %q, want one with %q", i, p, want[i])
		}
		if p.Where == "" || p.Why == "" {
			t.Errorf("problem %d %+v lacks its place or its reason", i, p)
		}
	}
}

func TestForbiddenImportsAreFound(t *testing.T) {
	t.Parallel()
	own := func(rel string) string { return Module + "/" + rel }
	for _, tt := range []struct {
		from    string
		imports []string
		want    []string
	}{
		{"traffic", []string{"context", "net/http"}, nil},
		{"traffic", []string{own("analysis")}, []string{"imports analysis"}},
		{"observe", []string{own("strategy")}, []string{"imports strategy"}},
		{"analysis", []string{"github.com/prometheus/common/model"}, []string{"imports github.com/prometheus"}},
		{"strategy", []string{own("traffic"), own("analysis"), "time"}, nil},
		{"strategy", []string{own("observe")}, []string{"imports observe"}},
		{"strategy", []string{own("traffic/proxy")}, []string{"imports traffic/proxy"}},
		{"strategy", []string{"gopkg.in/yaml.v3"}, []string{"imports gopkg.in"}},
		{"strategy/observing", []string{own("strategy"), own("observe")}, nil},
		{"strategy/observing", []string{own("strategy"), own("observe"), own("flags")}, []string{"joins observe and flags"}},
		{"strategy/observing", []string{own("observe/prometheus")}, []string{"imports observe/prometheus"}},
		{"traffic/istio", []string{own("traffic"), "k8s.io/client-go/dynamic", "k8s.io/apimachinery/pkg/runtime", own("internal/jsonhttp")}, nil},
		{"traffic/istio", []string{own("traffic"), "k8s.io/client-go/dynamic", "github.com/redis/go-redis/v9"}, []string{"github.com/redis and k8s.io"}},
		{"traffic/istio", []string{own("traffic/proxy")}, []string{"imports traffic/proxy"}},
		{"traffic/istio", []string{own("analysis")}, []string{"imports analysis"}},
		{"traffic/istio/internal/vs", []string{own("traffic"), own("traffic/istio/internal/x")}, nil},
		{"traffic/traffictest", []string{own("traffic"), "testing"}, nil},
		{"traffic/traffictest", []string{"github.com/google/go-cmp/cmp"}, []string{"imports github.com/google/go-cmp/cmp"}},
		{"traffic/traffictest", []string{own("strategy")}, []string{"imports strategy"}},
		{"strategy/strategytest", []string{own("strategy"), own("traffic"), own("analysis"), own("traffic/traffictest"), "testing/synctest"}, nil},
		{"traffic/proxy", []string{own("traffic/traffictest")}, []string{"imports github.com/rheostat-go/rheostat/traffic/traffictest"}},
		{"traffic/proxy", []string{"testing"}, []string{"imports testing"}},
		{"traffic/proxy", []string{own("internal/script")}, []string{"internal/script"}},
		{"traffic/proxy", []string{own("internal/routertest")}, []string{"internal/routertest"}},
		{"internal/routertest", []string{own("traffic/traffictest"), own("internal/script"), "testing"}, nil},
		{"strategy/kube/kubetest", []string{"k8s.io/client-go/rest", "testing"}, nil},
		{"strategy/kube", []string{own("strategy"), own("strategy/kube/kubetest")}, []string{"imports github.com/rheostat-go/rheostat/strategy/kube/kubetest"}},
		{"strategy", []string{"go.uber.org/mock/gomock"}, []string{"gomock"}},
		{"internal/jsonhttp", []string{own("traffic")}, []string{"imports traffic"}},
		{"examples/quickstart", []string{own("strategy"), own("traffic/traffictest"), "github.com/google/go-cmp/cmp"}, nil},
		{"sidecar", []string{"fmt"}, []string{"no import rule covers"}},
		{".", []string{own("strategy")}, []string{"imports strategy"}},
	} {
		path := Module
		if tt.from != "." {
			path = own(tt.from)
		}
		isStd := func(path string) bool { return !strings.Contains(strings.Split(path, "/")[0], ".") }
		t.Run(tt.from+" imports "+strings.Join(tt.imports, ","), func(t *testing.T) {
			t.Parallel()
			expect(t, Imports(Package{ImportPath: path, Imports: tt.imports}, isStd), tt.want...)
		})
	}
}

func TestTestCodeThatIsLinkedFromAfarIsFound(t *testing.T) {
	t.Parallel()
	deps := []string{"fmt", "testing", "go.uber.org/mock/gomock"}
	expect(t, Links(Package{ImportPath: Module + "/traffic/proxy", Deps: deps}), "links testing", "links go.uber.org/mock/gomock")
	expect(t, Links(Package{ImportPath: Module + "/traffic/traffictest", Deps: deps}))
	expect(t, Links(Package{ImportPath: Module + "/examples/quickstart", Deps: deps}))
}

func TestImpureCodeIsFound(t *testing.T) {
	t.Parallel()
	impure := `package strategy
import ("maps"; "math/rand/v2"; "os"; "slices"; "sync"; clock "time")
var mu sync.Mutex
var n = rand.Int()
var dir = os.TempDir
func a() clock.Time { return clock.Now() }
var later = clock.Sleep
func b(m map[string]int) { for range m {} }
func c() { go c() }
type d chan int
func e(x d) { x <- 1; <-x }
func f(x d) { select {} }
func g(x d) { for range x {} }
type named map[string]int
func h(m named) { for k := range maps.Keys(m) { _ = k } }
func i[M ~map[string]int](m M) { for range m {} }
func ok(m named, at clock.Time) int {
	sum := int(at.Sub(clock.Time{}))
	for _, k := range slices.Sorted(maps.Keys(m)) { sum += m[k] }
	for i := range 3 { sum += i }
	return sum
}
`
	expect(
		t, Determinism(source(t, map[string]string{"machine.go": impure})),
		"machine.go:2: imports math/rand/v2", "imports os", "imports sync",
		"machine.go:6: time.Now", "machine.go:7: time.Sleep", "machine.go:8: range over a map",
		"machine.go:9: go statement", "machine.go:10: channel", "machine.go:11: send", "machine.go:11: receive",
		"machine.go:12: select", "machine.go:13: range over a channel", "machine.go:15: maps.Keys", "machine.go:16: range over a map",
	)
	for _, name := range []string{"runner.go", "runner_turn.go", "store.go", "filestore_log.go", "memorystore.go"} {
		expect(t, Determinism(source(t, map[string]string{name: impure})))
	}
}

func TestMissingDocumentationIsFound(t *testing.T) {
	t.Parallel()
	expect(
		t, Docs(source(t, map[string]string{"a.go": `package strategy
type A struct{}
// Not the name.
type B int
// A C is fine.
type C interface {
	M()
	// N is fine.
	N()
}
func (A) D() {}
type e struct{}
func (e) Hidden() {}
// Names of a group.
const (
	F = 1
	G = 2
)
const (
	H = 1
	// Something else.
	I = 2
	J = 3 // at the end of the line
)
var K int
func (B) l() {}
// M, in short, is fine.
func (b *B) M() {}
`})),
		"a.go:1: package strategy has no comment", "a.go:2: A has no comment", "a.go:4: the comment on B", "a.go:7: C.M has no comment",
		"a.go:11: D has no comment", "a.go:20: H has no comment", "a.go:22: the comment on I", "a.go:25: K has no comment",
	)
	expect(t, Docs(source(t, map[string]string{"a.go": "// Package strategy is one.\npackage strategy\n", "b.go": "// Package strategy is two.\npackage strategy\n"})),
		"b.go:2: package strategy has a second comment")
	expect(t, Docs(source(t, map[string]string{"a.go": "// Something.\npackage strategy\n"})), "does not start with")
}

func TestAMissingExampleIsFound(t *testing.T) {
	t.Parallel()
	const code = "package strategy\nfunc A() {}\n"
	expect(t, Examples(source(t, map[string]string{"a.go": code})), "no example")
	expect(t, Examples(source(t, map[string]string{"a.go": code, "a_test.go": "package strategy\nfunc ExampleA() { A() }\n"})), "no example")
	expect(t, Examples(source(t, map[string]string{"a.go": code, "a_test.go": "package strategy\nfunc ExampleA() {\n\tA()\n\t// Output:\n}\n"})))
	expect(t, Examples(source(t, map[string]string{"a.go": "package strategy\nfunc a() {}\n"})))
}

func TestTheListingShowsEveryKindOfChange(t *testing.T) {
	t.Parallel()
	list := func(text string) []string { return API(source(t, map[string]string{"a.go": text}).Types) }
	base := list(`package strategy
import "context"
const A uint8 = 1
var B error
type C struct { D int ` + "`json:\"d\"`" + `; e int }
func (c *C) F(ctx context.Context, n int) (ok bool) { return false }
type G interface { H() error; i() }
type J[T any] []T
type K = C
type l int
func (l) M() {}
`)
	want := `const A uint8 = 1
method (*C) F(ctx context.Context, n int) (ok bool)
type C struct
type C struct, field D int ` + "`json:\"d\"`" + `
type C struct, has unexported fields
type G interface
type G interface, has unexported methods: sealed
type G interface, method H() error
type J[T any] []T
type K = C
var B error`
	if got := strings.Join(base, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	changed := list("package strategy\nconst A uint8 = 2\nfunc N() {}\n")
	if d := APIDiff(base, changed); !strings.Contains(d, "- const A uint8 = 1\n") || !strings.Contains(d, "+ const A uint8 = 2\n") || !strings.Contains(d, "+ func N()\n") {
		t.Errorf("the difference does not name what changed:\n%s", d)
	}
	if d := APIDiff(base, base); d != "" {
		t.Errorf("no change is reported as\n%s", d)
	}
}

func TestForeignFilesAndMachinePathsAreFound(t *testing.T) {
	t.Parallel()
	dir := "/" + "tmp" + "/x" // spelt apart: this file is in the tree as well
	problems, err := Tree(fstest.MapFS{
		"good.go":           {Data: []byte(header + "package a\n\n// see https://example.org/work/x\n")},
		"bad.go":            {Data: []byte("package a\n")},
		"late.go":           {Data: []byte("\n" + header + "package a\n")},
		"README.md":         {Data: []byte("first\nrun it with -state " + dir + "\n")},
		".git/COMMIT":       {Data: []byte(dir)},
		"bin/tool":          {Data: []byte(dir)},
		"testdata/some.bin": {Data: []byte(" " + dir + "\x00")},
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, problems, "README.md: line 2", "bad.go: does not start", "late.go: does not start")
}

func TestUnlistedModulesAreFound(t *testing.T) {
	t.Parallel()
	list := "# comment\n\nexample.org/a  needed for a\nexample.org/b  needed for b\n"
	problems, err := Deps([]string{"example.org/a", "example.org/c"}, list)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, problems, "requires example.org/c")
	for _, broken := range []string{"example.org/a\n", "example.org/a x\nexample.org/a y\n"} {
		if _, err := Deps(nil, broken); err == nil {
			t.Errorf("the list %q was accepted", broken)
		}
	}
}

func TestAPackageThatDoesNotBuildIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module m\n\ngo 1.26\n", "a.go": "package a\n\nvar A int = \"\"\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(t.Context(), dir, "./..."); err == nil {
		t.Error("a package with a type error was loaded")
	}
}
