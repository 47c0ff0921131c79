// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Passing says whether the same request may succeed when it is made again: the server is
// busy, restarting or not to be reached. What was asked may have been done.
func Passing(err error) bool {
	switch {
	case err == nil, apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return false
	case apierrors.IsTooManyRequests(err), apierrors.IsServerTimeout(err), apierrors.IsTimeout(err),
		apierrors.IsInternalError(err), apierrors.IsServiceUnavailable(err), apierrors.IsUnexpectedServerError(err):
		return true
	}
	return apierrors.ReasonForError(err) == "" // no answer of the server at all
}

// Missing says that the server knows the resource and has no object of this name. That the
// resource is not installed, or the path wrong, is also a 404 and says nothing of the object.
func Missing(err error) bool {
	return apierrors.IsNotFound(err) && !apierrors.IsUnexpectedServerError(err)
}
