// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// errUpload marks a request that ended because its own body could not be read.
var errUpload = errors.New("the client broke off its request")

// upload is a request's body. It remembers whether it was read and whether that
// failed.
type upload struct {
	io.ReadCloser
	failed atomic.Bool
	begun  atomic.Bool
	whole  atomic.Bool // it was read to its end

	reading        sync.Mutex // held while it is read
	mu             sync.Mutex
	closed, passed bool
	settled        bool // there will be no other try
}

func (u *upload) Read(b []byte) (int, error) {
	if u.isClosed() {
		return 0, http.ErrBodyReadAfterClose
	}
	u.reading.Lock()
	defer u.reading.Unlock()
	u.begun.Store(true)
	n, err := u.ReadCloser.Read(b)
	if errors.Is(err, io.EOF) {
		u.whole.Store(true)
	}
	// A transport closes the body of a request that it gives up; a read that
	// fails from then on is no fault of the client.
	if err != nil && !errors.Is(err, io.EOF) && !u.isClosed() {
		u.failed.Store(true)
	}
	return n, err
}

func (u *upload) isClosed() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closed
}

// Close is a transport's. As long as there may be another try at a body that
// nobody has begun, it is not closed for good.
func (u *upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	return u.pass()
}

// settle says that there will be no other try.
func (u *upload) settle() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.settled = true
	if u.closed {
		_ = u.pass() // its reader has been told already
	}
}

func (u *upload) pass() error {
	if u.passed || !u.settled && !u.begun.Load() {
		return nil
	}
	u.passed = true
	return u.ReadCloser.Close()
}

// reopen readies the body for another try, and reports whether that can be.
func reopen(req *http.Request) bool {
	if req.Body == nil || req.Body == http.NoBody {
		return true
	}
	u, ok := req.Body.(*upload)
	if !ok {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.begun.Load() {
		return false
	}
	u.closed = false
	return true
}

// download is an answer's body: an arm that breaks off in the middle is an
// error, too, although its header looked well.
type download struct {
	io.ReadCloser
	ctx     context.Context //nolint:containedctx // the request's, which the body belongs to
	arm     *arm
	backend *backend
	upload  *upload
	cancel  context.CancelFunc // may be nil
	done    func()             // may be nil

	told, over atomic.Bool
}

func (d *download) Read(b []byte) (int, error) {
	n, err := d.ReadCloser.Read(b)
	if err != nil {
		if !errors.Is(err, io.EOF) && !clientLeft(d.ctx) && (d.upload == nil || !d.upload.failed.Load()) && !d.told.Swap(true) {
			d.arm.answers.Fail()
		}
		d.end()
	}
	return n, err
}

// Close implements io.Closer.
func (d *download) Close() error {
	defer d.end()
	return d.ReadCloser.Close()
}

// cut ends the answer from elsewhere, which nobody is to blame for.
func (d *download) cut() {
	d.told.Store(true)
	if d.cancel != nil {
		d.cancel() // which means nothing to a connection that has switched protocols
	}
	_ = d.Close() // closing is what is wanted
}

func (d *download) end() {
	if d.over.Swap(true) {
		return
	}
	d.arm.open.remove(d)
	d.backend.active.Add(-1)
	if d.cancel != nil {
		d.cancel()
	}
	if d.done != nil {
		d.done()
	}
}

// ready reports whether there is more to read that will not be waited for.
func (d *download) ready() bool {
	i, ok := d.ReadCloser.(*inflow)
	return ok && i.ready()
}

// duplex is an upgraded connection, which is written to, too. One direction may
// end before the other, so that it is over only when it is closed.
type duplex struct {
	*download
	rw io.ReadWriteCloser
}

func (d *duplex) Read(b []byte) (int, error)  { return d.rw.Read(b) }
func (d *duplex) Write(b []byte) (int, error) { return d.rw.Write(b) }

// CloseWrite tells the backend that nothing more will come.
func (d *duplex) CloseWrite() error {
	if w, ok := d.rw.(closeWriter); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// openSet is the answers of an arm of which nobody knows how long they last.
type openSet struct {
	mu  sync.Mutex
	set map[*download]struct{}
}

func (o *openSet) add(d *download) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.set == nil {
		o.set = map[*download]struct{}{}
	}
	o.set[d] = struct{}{}
}

func (o *openSet) remove(d *download) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.set, d)
}

func (o *openSet) cut() int {
	o.mu.Lock()
	all := make([]*download, 0, len(o.set))
	for d := range o.set {
		all = append(all, d)
	}
	o.mu.Unlock()
	for _, d := range all {
		d.cut()
	}
	return len(all)
}
