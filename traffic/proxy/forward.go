// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"
)

// outgoing is a request on its way to a backend, in one piece of memory.
type outgoing struct {
	req    http.Request
	url    url.URL
	upload upload
	trip   trip
	sender sender
	access Access
}

// forward sends the request to the arm and its answer to the client.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, a *arm, cookie string) {
	out := &outgoing{req: *r, url: *r.URL, sender: sender{p, a}}
	if p.options.Access != nil {
		out.access.Begun, out.access.Arm = time.Now(), a.name
		defer p.logged(r, out)
	}
	upgrade := upgradeType(r.Header)
	if listed(upgrade, h2c) {
		// Whatever came over the connection then would never be picked for, limited or
		// counted. HTTP/2 has had no use for it since RFC 9113.
		upgrade = ""
	}
	p.address(out, r, upgrade)
	answers := func() {}
	if out.req.Body != nil {
		defer out.upload.Close() //nolint:errcheck // it is to be read no more
		if r.ProtoMajor == 1 && !p.short(&out.req) {
			duplex := &duplexing{w: w, upload: &out.upload}
			duplex.begin()
			defer duplex.end()
			answers = duplex.answers
		}
	}
	if r.ProtoAtLeast(1, 1) { // before that, the first answer is the only one
		out.trip.early = func(code int, header http.Header) { interim(w, code, header) }
	}
	res, err := out.sender.send(&out.req, &out.trip)
	answers()
	if err != nil {
		out.access.Status, out.access.Err = p.fail(a, w, r, err), err
		return
	}
	out.access.Status = res.StatusCode
	if res.StatusCode == http.StatusSwitchingProtocols {
		if out.req.Body != nil && !out.upload.whole.Load() {
			upgrade = "" // of what the client sends next, nobody could tell whose it is
		}
		out.access.Status, out.access.Err = p.join(w, r, a, res, upgrade, cookie)
		return
	}
	defer func() { _ = res.Body.Close() }() // it has been read, or is of no use
	announced := begin(w, res, cookie)
	if res.Body == http.NoBody && announced == 0 {
		return
	}
	out.access.Bytes, err = copyBody(w, res)
	if err != nil {
		out.access.Err = err
		p.log.DebugContext(r.Context(), "answer broke off", "arm", a.name, "err", err)
		// The client must not take half an answer for a whole one.
		panic(http.ErrAbortHandler)
	}
	trail(w, res, announced)
}

// logged tells the access log of a request that was sent on.
func (p *Proxy) logged(r *http.Request, out *outgoing) {
	if b := out.trip.backend; b != nil {
		out.access.Backend = b.url.Host
	}
	out.access.Wait = out.trip.took
	p.access(r, out.access)
}

// begin sends the head of the answer, and tells how many trailers were announced.
func begin(w http.ResponseWriter, res *http.Response, cookie string) (announced int) {
	header := w.Header()
	pass(header, res.Header)
	if cookie != "" {
		header.Add("Set-Cookie", cookie)
	}
	if announced = len(res.Trailer); announced > 0 {
		header["Trailer"] = []string{strings.Join(slices.Sorted(maps.Keys(res.Trailer)), ", ")}
	}
	w.WriteHeader(res.StatusCode)
	return announced
}

// address makes the request what the backend is to get.
func (p *Proxy) address(out *outgoing, r *http.Request, upgrade string) {
	req := &out.req
	req.URL = &out.url
	req.RequestURI, req.Close = "", false
	// Room for what is added, so that the map does not grow.
	req.Header = make(http.Header, len(r.Header)+5)
	pass(req.Header, r.Header)
	if upgrade != "" {
		req.Header["Connection"], req.Header["Upgrade"] = []string{"Upgrade"}, []string{upgrade}
	}
	if slices.ContainsFunc(r.Header["Te"], func(v string) bool { return listed(v, "trailers") }) {
		req.Header["Te"] = []string{"trailers"}
	}
	if _, is := req.Header["User-Agent"]; !is {
		req.Header["User-Agent"] = []string{""} // none came, and none is made up
	}
	p.forwarded(req.Header, r)
	// The server fills in trailers once the body was read; a copy would miss them.
	req.Trailer = r.Trailer
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		req.Body, req.ContentLength = nil, 0
		if r.ContentLength < 0 {
			req.ContentLength = -1
		}
	} else {
		// It is the server's to close: with a client that has not sent it yet, that
		// would take until it has.
		out.upload.ReadCloser = io.NopCloser(r.Body)
		req.Body = &out.upload
	}
}

// forwarded says who the request is from. Without TrustForwarded nobody else's word
// is passed on.
func (p *Proxy) forwarded(h http.Header, r *http.Request) {
	if !p.options.TrustForwarded {
		delete(h, "Forwarded")
		delete(h, "X-Forwarded-For")
		delete(h, "X-Forwarded-Host")
		delete(h, "X-Forwarded-Proto")
		delete(h, MirrorHeader)
	}
	values := make([]string, 3)
	if ip, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		values[0] = ip
		if prior := h["X-Forwarded-For"]; len(prior) > 0 {
			values[0] = strings.Join(prior, ", ") + ", " + ip
		}
		h["X-Forwarded-For"] = values[0:1:1]
	}
	if h["X-Forwarded-Host"] == nil {
		values[1] = r.Host
		h["X-Forwarded-Host"] = values[1:2:2]
	}
	if h["X-Forwarded-Proto"] == nil {
		values[2] = "http"
		if r.TLS != nil {
			values[2] = "https"
		}
		h["X-Forwarded-Proto"] = values[2:3:3]
	}
}

// pass adds the headers that are meant for whoever is at the end, and not for the
// next server on the way (RFC 9110, 7.6.1). The values are shared.
func pass(to, from http.Header) {
	named := from["Connection"]
	for name, values := range from {
		switch name {
		case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
			"Te", "Trailer", "Transfer-Encoding", "Upgrade":
			continue
		}
		if len(named) > 0 && slices.ContainsFunc(named, func(v string) bool { return listed(v, name) }) {
			continue
		}
		if there := to[name]; len(there) > 0 {
			values = append(slices.Clip(there), values...)
		}
		to[name] = values
	}
}

// listed reports whether a comma-separated list holds the token.
func listed(list, token string) bool {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ",")
		if strings.EqualFold(textproto.TrimString(item), token) {
			return true
		}
	}
	return false
}

// upgradeType is the protocol that is asked for, or answered with, "" if none is.
func upgradeType(h http.Header) string {
	if !slices.ContainsFunc(h["Connection"], func(v string) bool { return listed(v, "Upgrade") }) {
		return ""
	}
	return h.Get("Upgrade")
}

// interim passes an answer such as 103 on. What others have set for the final one
// is left for that.
func interim(w http.ResponseWriter, code int, from http.Header) {
	header := w.Header()
	before := maps.Clone(header)
	clear(header)
	pass(header, from)
	w.WriteHeader(code)
	clear(header)
	maps.Copy(header, before)
}

// copyBody sends the answer's body on. What has no length is flushed whenever nothing
// more is there to be read at once: a client may be waiting for just that.
func copyBody(w http.ResponseWriter, res *http.Response) (sent int64, err error) {
	streams := res.ContentLength < 0 || strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream")
	body, _ := res.Body.(*download)
	buf := buffers.Get()
	defer buffers.Put(buf)
	for {
		if streams && (body == nil || !body.ready()) {
			if err := flush(w); err != nil {
				return sent, err
			}
		}
		n, ended := res.Body.Read(buf)
		if n > 0 {
			wrote, err := w.Write(buf[:n])
			if sent += int64(wrote); err != nil {
				return sent, err
			}
		}
		switch {
		case errors.Is(ended, io.EOF):
			return sent, nil
		case ended != nil:
			return sent, ended
		}
	}
}

func flush(w http.ResponseWriter) error {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
		return nil
	}
	if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// trail sends the trailers. Those that were not announced go under a prefix that
// net/http knows.
func trail(w http.ResponseWriter, res *http.Response, announced int) {
	if len(res.Trailer) == 0 {
		return
	}
	// A body without a byte has not made the server choose chunks yet.
	_ = flush(w)
	header := w.Header()
	for name, values := range res.Trailer {
		if len(res.Trailer) != announced {
			name = http.TrailerPrefix + name
		}
		for _, value := range values {
			header.Add(name, value)
		}
	}
}
