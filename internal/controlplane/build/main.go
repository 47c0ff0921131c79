// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command build compiles the control plane into the user's cache, once for each
// state of its sources, and puts the CustomResourceDefinitions of the traffic
// APIs beside it:
//
//	<user's cache>/rheostat/controlplane-<key>/controlplane
//	<user's cache>/rheostat/controlplane-<key>/crds/istio.yaml …
//	<user's cache>/rheostat/controlplane → the newest of these folders
//
// It runs in the folder of the module, prints the folder of the result, and does
// nothing if that is there. From an empty build cache it is about 12 minutes of
// two cores, and needs nothing but Go and a module proxy. Folders of former keys
// stay: another checkout may use them.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Version is the release of k8s.io/kubernetes in go.mod. The server says it at
// /version, where controllers look whether they know it.
const version = "v1.36.3"

// crds are the definitions that come with the control plane. Their modules are
// not in go.mod: nothing here compiles them, and their requirements would move
// those of Kubernetes. So their sums stand here.
var crds = []struct{ name, module, sum, path string }{
	{"gateway", "sigs.k8s.io/gateway-api@v1.6.3", "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=", "config/crd/standard/*.yaml"},
	{"gateway-experimental", "sigs.k8s.io/gateway-api@v1.6.3", "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=", "config/crd/experimental/*.yaml"},
	{"istio", "istio.io/api@v1.31.1", "h1:5Yb5ihcz4YQsCkciusK7DnFpBMwRB6EFWeUKH1Atuyk=", "kubernetes/customresourcedefinitions.gen.yaml"},
	{"traefik", "github.com/traefik/traefik/v3@v3.7.13", "h1:T8wy9KuaFzCkmXCqAzDy7t73pBDR1DHrJe3pqXpNXTw=", "docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml"},
	{"contour", "github.com/projectcontour/contour@v1.33.8", "h1:QoOfwqWws+CVRFpsRC2+f1DmB5IdurtyUtepIsiWfE0=", "examples/contour/01-crds.yaml"},
}

func main() {
	dir, err := build()
	if err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
	if _, err := fmt.Fprintln(os.Stdout, dir); err != nil {
		os.Exit(1)
	}
}

func build() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "rheostat")
	key, err := sourceKey()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "controlplane-"+key)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := buildInto(cache, dir); err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	return dir, point(filepath.Join(cache, "controlplane"), dir)
}

// buildInto makes the folder beside its place and moves it there when it is
// whole. Whoever else was faster has made the same.
func buildInto(cache, dir string) (err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(cache, "building-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := definitions(filepath.Join(tmp, "crds")); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "building Kubernetes", version, "for tests: about 12 minutes of two cores, once")
	start := time.Now()
	if err := compile(filepath.Join(tmp, "controlplane")); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "built in", time.Since(start).Round(time.Second))
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// sourceKey changes with everything that the result depends on.
func sourceKey() (string, error) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		return "", err
	}
	files = append(files, "go.mod", "go.sum", filepath.Join("build", "main.go"))
	slices.Sort(files)
	var all strings.Builder
	fmt.Fprintln(&all, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("run it in the folder of its module: %w", err)
		}
		fmt.Fprintf(&all, "%s %x\n", filepath.ToSlash(name), sha256.Sum256(b))
	}
	sum := sha256.Sum256([]byte(all.String()))
	return fmt.Sprintf("%x", sum[:8]), nil
}

func compile(out string) error {
	const p = "k8s.io/component-base/version"
	stamp := "-s -w" +
		" -X " + p + ".gitVersion=" + version + " -X " + p + ".gitMajor=1 -X " + p + ".gitMinor=36" +
		" -X " + p + ".gitTreeState=clean -X " + p + ".gitCommit=module"
	_, err := goTool("build", "-trimpath", "-buildvcs=false", "-ldflags", stamp, "-o", out, ".")
	return err
}

// definitions writes one file for each name.
func definitions(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, c := range crds {
		out, err := goTool("mod", "download", "-json", c.module)
		if err != nil {
			return err
		}
		var module struct{ Dir, Sum string }
		if err := json.Unmarshal(out, &module); err != nil {
			return fmt.Errorf("%s: %w", c.module, err)
		}
		if module.Sum != c.sum {
			return fmt.Errorf("%s: its sum is %s, not %s", c.module, module.Sum, c.sum)
		}
		text, err := onlyDefinitions(filepath.Join(module.Dir, filepath.FromSlash(c.path)))
		if err != nil {
			return fmt.Errorf("%s: %w", c.module, err)
		}
		if err := os.WriteFile(filepath.Join(dir, c.name+".yaml"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// onlyDefinitions joins the documents of the files that are definitions: an
// admission policy or a kustomization may lie beside them.
func onlyDefinitions(pattern string) ([]byte, error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for _, document := range documents(b) {
			if slices.Contains(strings.Split(document, "\n"), "kind: CustomResourceDefinition") {
				out.WriteString("---\n" + document)
			}
		}
	}
	if out.Len() == 0 {
		return nil, fmt.Errorf("no definition in %s", pattern)
	}
	return out.Bytes(), nil
}

func documents(b []byte) []string {
	var all []string
	var one strings.Builder
	lines := bufio.NewReader(bytes.NewReader(b))
	for {
		line, err := lines.ReadString('\n')
		if strings.TrimRight(line, " \r\n") == "---" {
			all = append(all, one.String())
			one.Reset()
		} else {
			one.WriteString(line)
		}
		if errors.Is(err, io.EOF) {
			return append(all, one.String())
		}
	}
}

// goTool runs Go without the workspace, which holds none of this, and without
// cgo, so that the result runs anywhere.
func goTool(args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args[:2], " "), err)
	}
	return out, nil
}

// point makes link point at dir, at once for whoever looks.
func point(link, dir string) error {
	tmp := fmt.Sprintf("%s-%d", link, os.Getpid())
	if err := os.Symlink(filepath.Base(dir), tmp); err != nil {
		return err
	}
	return os.Rename(tmp, link)
}
