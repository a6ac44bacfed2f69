// SPDX-License-Identifier: Apache-2.0

package oldsite

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// host is what a Site and a Replay have in common: a server on loopback, a
// client that confirms, and a log of both.
type host struct {
	base     *url.URL // without a slash at its end
	listener net.Listener
	server   *http.Server
	client   *http.Client
	log      exchanges

	ctx  context.Context // ends with Close
	stop context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup // added to under mu and before closed
}

// listen takes an address. Requests wait until serve.
func listen(address, path string, roots *x509.CertPool) (*host, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	h := &host{
		listener: l,
		base:     &url.URL{Scheme: "http", Host: l.Addr().String(), Path: path},
		log:      exchanges{changed: make(chan struct{})},
		client: &http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.server = &http.Server{ReadHeaderTimeout: 10 * time.Second}
	return h, nil
}

// serve answers requests; whoever has the host must be complete by then.
func (h *host) serve(handle http.HandlerFunc) {
	h.server.Handler = h.counted(handle)
	h.running.Go(func() { h.server.Serve(h.listener) })
}

// counted counts handlers, so that Close can wait for them.
func (h *host) counted(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		if h.closed {
			h.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		h.running.Add(1)
		h.mu.Unlock()
		defer h.running.Done()
		serve(w, r)
	}
}

// Close ends the site and every exchange that is under way, and waits for
// their ends.
func (h *host) Close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.stop()
	err := h.server.Close()
	h.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// URL is the site's address as a client names it, with a slash at its end.
func (h *host) URL() string { return h.base.String() + "/" }

// send makes one request of a confirm and writes it down. Without an answer
// the status is 0.
func (h *host) send(ctx context.Context, method, to string, header http.Header, body string) (status int, location string) {
	r, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(body))
	if err != nil {
		return 0, ""
	}
	r.Header = header
	place := h.log.add(Exchange{Kind: Confirm, Method: method, URL: to, Header: r.Header.Clone(), Body: body, Began: time.Now()})
	defer func() { h.log.end(place, status) }()
	response, err := h.client.Do(r)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	if target, err := response.Location(); err == nil {
		location = target.String()
	}
	return response.StatusCode, location
}

// pause waits, and reports false when the site was closed meanwhile.
func (h *host) pause(d time.Duration) bool {
	if d <= 0 {
		return h.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-h.ctx.Done():
		return false
	}
}
