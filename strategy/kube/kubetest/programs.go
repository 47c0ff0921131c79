// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Program is a part of the control plane, by the name of its executable.
type Program string

// The programs of a control plane.
const (
	Etcd              Program = "etcd"
	APIServer         Program = "kube-apiserver"
	ControllerManager Program = "kube-controller-manager"
	Scheduler         Program = "kube-scheduler"
	Kwok              Program = "kwok"
)

// programs are where the executables are: one for all, or a folder with one for each.
type programs struct {
	combined, folder string
}

// findPrograms skips or fails tb when there are none that do.
func findPrograms(tb testing.TB, need []Program) programs {
	tb.Helper()
	p, missing := lookup(os.Getenv, os.UserCacheDir, need)
	if missing == "" {
		return p
	}
	if os.Getenv("RHEOSTAT_REAL") == "1" {
		tb.Fatal("kubetest: " + missing)
	}
	tb.Skip("kubetest: " + missing)
	return p
}

// lookup returns the programs, or what is missing and how to get it.
func lookup(env func(string) string, cache func() (string, error), need []Program) (programs, string) {
	const remedy = "run make controlplane, or set RHEOSTAT_CONTROLPLANE or KUBEBUILDER_ASSETS"
	if path := env("RHEOSTAT_CONTROLPLANE"); path != "" {
		if !executable(path) {
			return programs{}, "RHEOSTAT_CONTROLPLANE=" + path + " is not an executable"
		}
		return programs{combined: path}, ""
	}
	if dir, err := cache(); err == nil {
		if path := filepath.Join(dir, "rheostat", "controlplane", "controlplane"); executable(path) {
			return programs{combined: path}, ""
		}
	}
	folder := env("KUBEBUILDER_ASSETS")
	if folder == "" {
		return programs{}, "no Kubernetes control plane on this machine: " + remedy
	}
	var missing []string
	for _, name := range need {
		if !executable(filepath.Join(folder, string(name))) {
			missing = append(missing, string(name))
		}
	}
	if len(missing) > 0 {
		return programs{}, fmt.Sprintf("KUBEBUILDER_ASSETS=%s has no %s: %s", folder, strings.Join(missing, ", "), remedy)
	}
	return programs{folder: folder}, ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// command is what to execute for one of them, and its first arguments.
func (p programs) command(name Program) (path string, args []string) {
	if p.combined != "" {
		return p.combined, []string{string(name)}
	}
	return filepath.Join(p.folder, string(name)), nil
}

// CRDs returns the CustomResourceDefinitions of an API, for [Cluster.InstallCRDs], as the
// project that owns it publishes them:
//
//	gateway               Gateway API, standard channel
//	gateway-experimental  Gateway API, experimental channel
//	istio                 Istio
//	traefik               Traefik
//	contour               Contour
//
// Only those of the plurals are returned, such as "virtualservices"; without plurals, all.
// Ask for what the test needs: fifteen take seconds and a hundred MiB. They lie in the
// folder crds beside the combined executable; when they are missing, tb is skipped as when
// the executable is.
func CRDs(tb testing.TB, api string, plurals ...string) string {
	tb.Helper()
	p := findPrograms(tb, []Program{Etcd, APIServer})
	path := filepath.Join(p.folder, "crds", api+".yaml")
	if p.combined != "" {
		path = filepath.Join(filepath.Dir(p.combined), "crds", api+".yaml")
	}
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) && os.Getenv("RHEOSTAT_REAL") != "1" {
		tb.Skip("kubetest: no definitions of " + api + ": there is no " + path + "; run make controlplane")
	}
	if err != nil {
		tb.Fatalf("kubetest: definitions of %s: %v", api, err)
	}
	if len(plurals) == 0 {
		return string(b)
	}
	return pick(tb, string(b), plurals)
}

// pick keeps the definitions of these plurals.
func pick(tb testing.TB, text string, plurals []string) string {
	tb.Helper()
	var kept strings.Builder
	for _, plural := range plurals {
		found := false
		for document := range strings.SplitSeq(text, "\n---\n") {
			if strings.Contains(document, "\n    plural: "+plural+"\n") {
				kept.WriteString("\n---\n" + document)
				found = true
			}
		}
		if !found {
			tb.Fatalf("kubetest: no definition has the plural %q", plural)
		}
	}
	return kept.String()
}
