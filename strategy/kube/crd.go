// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	_ "embed"
)

var (
	//go:embed crd.yaml
	crd string
	//go:embed admission.yaml
	admission string
)

// CRD is the CustomResourceDefinition of Rollout in YAML, to be applied once by whoever
// administers the cluster.
func CRD() string { return crd }

// AdmissionPolicy is a ValidatingAdmissionPolicy and its binding in YAML. With it, who
// asked for an intent, granted an approval or allowed a retry is who the API server
// authenticated. Without it, it is what the writer said.
func AdmissionPolicy() string { return admission }
