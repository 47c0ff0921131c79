// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package archtest_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rheostat-go/rheostat/internal/archtest"
	"github.com/rheostat-go/rheostat/internal/script"
)

// root is the root of the repository, seen from here.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return dir
}()

// listed is every package of every module in go.work with all that it links, and
// which of those are the standard library's.
var listed = sync.OnceValues(func() (w workspace, err error) {
	ctx := context.Background()
	if w.packages, err = archtest.List(ctx, root, "work"); err != nil {
		return w, err
	}
	deps, err := archtest.List(ctx, root, "-deps", "work")
	if err != nil {
		return w, err
	}
	w.deps, w.std = deps, map[string]bool{"unsafe": true, "C": true}
	for _, p := range deps {
		if p.Standard {
			w.std[p.ImportPath] = true
		}
	}
	return w, nil
})

type workspace struct {
	packages, deps []archtest.Package
	std            map[string]bool
}

// written is the same packages as they were written, type-checked.
var written = sync.OnceValues(func() ([]*archtest.Source, error) {
	return archtest.Load(context.Background(), root, "work")
})

func report(t *testing.T, problems []archtest.Problem) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

func sources(t *testing.T) []*archtest.Source {
	t.Helper()
	all, err := written()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// public reports whether users of the root module can import a package.
func public(s *archtest.Source) bool {
	rel := s.Rel()
	return s.Types.Name() != "main" && !strings.Contains("/"+rel+"/", "/internal/") && !strings.HasPrefix(rel, "examples/")
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	t.Parallel()
	w, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range w.packages {
		report(t, archtest.Imports(p, func(path string) bool { return w.std[path] }))
		report(t, archtest.Links(p))
	}
}

func TestStrategyAndTrafficLinkOnlyTheStandardLibrary(t *testing.T) {
	t.Parallel()
	w, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, p := range w.packages {
		rel, _ := archtest.Rel(p.ImportPath)
		if rel != "strategy" && rel != "traffic" {
			continue
		}
		checked++
		for _, dep := range p.Deps {
			if _, own := archtest.Rel(dep); !own && !w.std[dep] {
				t.Errorf("%s links %s: the core is for everybody, and brings nothing along", rel, dep)
			}
		}
	}
	if checked != 2 {
		t.Errorf("found %d of the packages strategy and traffic", checked)
	}
}

func TestWhatEachPackageLinksIsListed(t *testing.T) {
	t.Parallel()
	w, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	imported := slices.DeleteFunc(slices.Clone(w.packages), func(p archtest.Package) bool {
		return p.Name == "main" || p.Module == nil || p.Module.Path != archtest.Module || strings.Contains(p.ImportPath+"/", "/internal/")
	})
	const head = "# What a program links when it imports one of these, beside the standard library. make api writes this.\n"
	got := head + archtest.Linked(imported, w.deps)
	if script.Update() {
		write(t, "linked.txt", got)
		return
	}
	want, err := os.ReadFile("linked.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("what packages link is not what linked.txt says (if it is wanted, run make api):\n%s", archtest.APIDiff(strings.Split(string(want), "\n"), strings.Split(got, "\n")))
	}
}

func TestTheCoreIsDeterministic(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.Rel() == "strategy" {
			report(t, archtest.Determinism(s))
			return
		}
	}
	t.Error("package strategy is gone")
}

func TestEveryExportedNameIsDocumented(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		report(t, archtest.Docs(s))
	}
}

func TestEveryPublicPackageHasAnExample(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		// What an xxxtest package offers takes a *testing.T, which an example does
		// not have. Their own tests show them, and CONTRIBUTING.md shows traffictest.
		if public(s) && !strings.HasSuffix(s.Path, "test") {
			report(t, archtest.Examples(s))
		}
	}
}

func TestFilesCarryTheLicenceAndNoMachinePaths(t *testing.T) {
	t.Parallel()
	problems, err := archtest.Tree(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	report(t, problems)
}

func TestTheRootModuleRequiresOnlyWhatIsListed(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct{ Require []struct{ Path string } }
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var required []string
	for _, r := range mod.Require {
		required = append(required, r.Path)
	}
	list, err := os.ReadFile("deps.txt")
	if err != nil {
		t.Fatal(err)
	}
	problems, err := archtest.Deps(required, string(list))
	if err != nil {
		t.Fatalf("deps.txt: %v", err)
	}
	report(t, problems)
}

func TestTheExportedAPIIsTheReviewedOne(t *testing.T) {
	t.Parallel()
	goldens := map[string]bool{}
	for _, s := range sources(t) {
		api := archtest.API(s.Types)
		if !public(s) || len(api) == 0 {
			continue
		}
		name := s.Rel()
		if name == "." {
			name = s.Types.Name()
		}
		golden := filepath.Join(root, "api", filepath.FromSlash(name)+".txt")
		goldens[golden] = true
		if script.Update() {
			write(t, golden, strings.Join(api, "\n")+"\n")
			continue
		}
		text, err := os.ReadFile(golden)
		if err != nil {
			t.Errorf("%s has no listing; write it with make api, and review it", s.Path)
			continue
		}
		if d := archtest.APIDiff(strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), api); d != "" {
			t.Errorf("the exported API of %s is not the one in api/%s.txt (if it is wanted, run make api and say so in CHANGELOG.md):\n%s", s.Path, name, d)
		}
	}
	for _, stale := range staleGoldens(t, goldens) {
		if script.Update() {
			if err := os.Remove(stale); err != nil {
				t.Error(err)
			}
			continue
		}
		t.Errorf("%s lists a package that is gone; run make api", stale)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// staleGoldens are the listings of packages that exist no longer.
func staleGoldens(t *testing.T, current map[string]bool) []string {
	t.Helper()
	var stale []string
	err := filepath.WalkDir(filepath.Join(root, "api"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && filepath.Ext(path) == ".txt" && !current[path] {
			stale = append(stale, path)
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	slices.Sort(stale)
	return stale
}
