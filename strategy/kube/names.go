// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
)

// serviceNote holds the name of a service that cannot be the name of an object.
const serviceNote = "rheostat.dev/service"

// hashed is how the object of such a service is named: this, and 40 digits.
const hashed = "service-"

const hashDigits = 40

// key is where a service's object is.
type key struct{ namespace, name string }

// locate is the object of a service. Services that are named like objects are told by
// their own names, all others by a hash.
func (s *Store) locate(service string) (key, error) {
	namespace, name := s.options.Namespace, service
	if namespace == "" {
		var ok bool
		if namespace, name, ok = strings.Cut(service, "/"); !ok || namespace == "" || name == "" {
			return key{}, fmt.Errorf("strategy/kube: service %q: it is not \"namespace/name\"; name it so, or set Options.Namespace", service)
		}
	}
	if name == "" {
		return key{}, errors.New("strategy/kube: service: it has no name")
	}
	return key{namespace, s.prefix() + objectName(name)}, nil
}

// prefix keeps ConfigMaps apart from those that are somebody else's.
func (s *Store) prefix() string {
	if s.options.ConfigMaps {
		return "rheostat-"
	}
	return ""
}

func objectName(service string) string {
	looksHashed := len(service) == len(hashed)+hashDigits && strings.HasPrefix(service, hashed)
	if !looksHashed && len(service) <= validation.DNS1123SubdomainMaxLength-len("rheostat-") && len(validation.IsDNS1123Subdomain(service)) == 0 {
		return service
	}
	sum := sha256.Sum256([]byte(service))
	return hashed + hex.EncodeToString(sum[:])[:hashDigits]
}

// serviceOf is the service whose object this is.
func (s *Store) serviceOf(object *unstructured.Unstructured) string {
	name := object.GetAnnotations()[serviceNote]
	if name == "" || s.prefix()+objectName(name) != object.GetName() {
		name = strings.TrimPrefix(object.GetName(), s.prefix())
	}
	if s.options.Namespace == "" {
		return object.GetNamespace() + "/" + name
	}
	return name
}

// notes are the annotations that an object of this service begins with.
func (s *Store) notes(service string) map[string]string {
	if s.options.Namespace == "" {
		_, service, _ = strings.Cut(service, "/")
	}
	if objectName(service) == service {
		return nil
	}
	return map[string]string{serviceNote: service}
}
