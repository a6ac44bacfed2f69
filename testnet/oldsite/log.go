// SPDX-License-Identifier: Apache-2.0

package oldsite

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is what an exchange is for.
type Kind string

// Kinds of exchange. In Confirm and nowhere else the site asks.
const (
	Discovery    Kind = "discovery"
	Index        Kind = "index"
	Connect      Kind = "connect"
	Confirm      Kind = "confirm"
	RequestToken Kind = "request token"
	Authorize    Kind = "authorize"
	Login        Kind = "login" // login and consent pages
	AccessToken  Kind = "access token"
	API          Kind = "api"
	Other        Kind = "other"
)

// maxBody is how much of a request's body the site reads, in bytes.
const maxBody = 1 << 20

// Exchange is one request and what came of it.
type Exchange struct {
	Kind   Kind
	Method string
	URL    string
	Header http.Header // of the request
	Body   string      // of the request
	Status int         // of the answer; 0: none yet, or none at all
	Began  time.Time
	Ended  time.Time // zero: not yet
}

// Began returns a test for Wait: an exchange of the kind has begun.
func Began(kind Kind) func(Exchange) bool {
	return func(e Exchange) bool { return e.Kind == kind }
}

// Ended returns a test for Wait: an exchange of the kind has ended.
func Ended(kind Kind) func(Exchange) bool {
	return func(e Exchange) bool { return e.Kind == kind && !e.Ended.IsZero() }
}

// Log returns the exchanges in the order of their beginnings.
func (h *host) Log() []Exchange {
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	return slices.Clone(h.log.all)
}

// LogOf is Log with the exchanges of one kind only.
func (h *host) LogOf(kind Kind) []Exchange {
	return slices.DeleteFunc(h.Log(), func(e Exchange) bool { return e.Kind != kind })
}

// Wait returns the first exchange that fits, now or later.
func (h *host) Wait(ctx context.Context, fits func(Exchange) bool) (Exchange, error) {
	for {
		h.log.mu.Lock()
		i, changed := slices.IndexFunc(h.log.all, fits), h.log.changed
		var found Exchange
		if i >= 0 {
			found = h.log.all[i]
		}
		h.log.mu.Unlock()
		if i >= 0 {
			return found, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Exchange{}, ctx.Err()
		case <-h.ctx.Done():
			return Exchange{}, errors.New("waiting for an exchange: the site was closed")
		}
	}
}

// exchanges is the log.
type exchanges struct {
	mu      sync.Mutex
	all     []Exchange
	changed chan struct{} // closed and replaced with every change
}

// add writes down the beginning of an exchange and returns its place.
func (l *exchanges) add(e Exchange) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, e)
	l.wake()
	return len(l.all) - 1
}

// end writes down how the exchange at a place ended.
func (l *exchanges) end(place, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[place].Status, l.all[place].Ended = status, time.Now()
	l.wake()
}

func (l *exchanges) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// receive reads a request and writes it down. Its body can be read again.
func (l *exchanges) receive(w http.ResponseWriter, r *http.Request, kind Kind) (*answer, error) {
	began := time.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	place := l.add(Exchange{
		Kind: kind, Method: r.Method, URL: "http://" + r.Host + r.URL.String(),
		Header: r.Header.Clone(), Body: string(body), Began: began,
	})
	return &answer{ResponseWriter: w, log: l, place: place}, nil
}

// answer is an http.ResponseWriter that remembers its status.
type answer struct {
	http.ResponseWriter
	log    *exchanges
	place  int
	status int
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap is what http.ResponseController wants.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) end() { a.log.end(a.place, a.status) }
