// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

// KeptForCopies is how many bytes of bodies are kept for copies now.
func (p *Proxy) KeptForCopies() int64 { return p.copying.kept.Load() }
