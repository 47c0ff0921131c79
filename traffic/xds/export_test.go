// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package xds

// Unpin leaves the pins out of what the router serves from the next change on.
func (r *Router) Unpin() {
	r.turn <- struct{}{}
	defer r.unlock()
	r.unpinned = true
}

// Clients is how many streams the server has.
func (s *Server) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients)
}
