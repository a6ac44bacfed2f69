// SPDX-License-Identifier: Apache-2.0

package oldsite

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// Behaviour is where a site departs from the original plugin. The zero
// Behaviour is the plugin as it was measured, so every field names one
// departure.
type Behaviour struct {
	// Link is how the answer to HEAD names the index.
	Link LinkForm
	// Redirects is how often HEAD is sent elsewhere before it is answered;
	// below zero: without end.
	Redirects int
	// RedirectTo is where HEAD is sent; empty: to this site.
	RedirectTo string
	// IndexBytes is what the whole index weighs at least; MeasuredIndex is
	// what those of WordPress 7.1 weigh.
	IndexBytes int
	// EditIndex changes the index before it is sent: another endpoint, none.
	EditIndex func(index map[string]any)

	// What becomes of the requests of each step instead of an answer. The
	// connection request has been served by then: the broker was asked to
	// confirm, and the credentials are live if it did.
	HeadFault, IndexFault, ConnectFault Fault

	// Refuse answers the connection request; nothing is confirmed.
	Refuse *Refusal
	// NoConfirm: the connection request is accepted, and nothing follows.
	NoConfirm bool
	// AcceptFirst: the connection request is accepted before it is confirmed.
	AcceptFirst bool
	// ConfirmAfter passes between the connection request and the confirm.
	ConfirmAfter time.Duration
	// ConfirmTimes is how often the site confirms, one after the other; 0: once.
	ConfirmTimes int
	// ConfirmBody makes the body of the confirm out of the right one. See
	// WrongVerifier and its neighbours.
	ConfirmBody func(right string) string
	// StoreAfter passes between the broker's 200 and the moment when the
	// credentials work and the connection request is answered.
	StoreAfter time.Duration
	// AcceptStatus stands in the place of 202.
	AcceptStatus int
}

// MeasuredIndex is what the index of WordPress 7.1.4 weighs, in bytes.
const MeasuredIndex = 196405

// Refusal is an error answer of the REST API.
type Refusal struct {
	Status  int
	Code    string // as ba.rejected_client
	Message string
}

// LinkForm is a way to name the index in the answer to HEAD.
type LinkForm int

// Link forms. The first is what WordPress sends.
const (
	OneLink        LinkForm = iota // one link in one header
	SeveralHeaders                 // three Link headers; the right one is the last
	SeveralLinks                   // one Link header with three links
	ParameterOrder                 // other parameters stand before rel
	SeveralRels                    // rel names two relations
	RelativeLink                   // the link is relative to the site
	EndpointHeader                 // X-BA-Endpoint: the site's URL takes connection requests itself
	NoLink                         // neither
)

// Fault is what happens to a request instead of an answer.
type Fault int

// Faults.
const (
	None    Fault = iota
	Silent        // no byte until the broker gives up
	Cut           // the connection is closed without an answer
	Endless       // the answer never ends, as fast as it is read; to HEAD: its header
	Trickle       // the answer never ends, a byte every 50 ms
	Broken        // 500, and a page for people
	NotJSON       // 200, and a page for people
)

// fault is what happens to a request before it is served. The fault of a
// connection request comes after its confirm; see connect.
func (b Behaviour) fault(k Kind, method string) Fault {
	switch {
	case k == Discovery && method == http.MethodHead:
		return b.HeadFault
	case k == Index:
		return b.IndexFault
	}
	return None
}

// fail does what a fault says.
func (s *Site) fail(w *answer, r *http.Request, f Fault) {
	const page = "<!doctype html><title>Error</title><p>Something is broken."
	switch f {
	case Silent:
		select {
		case <-r.Context().Done():
		case <-s.ctx.Done():
		}
		panic(http.ErrAbortHandler)
	case Cut:
		panic(http.ErrAbortHandler)
	case Broken, NotJSON:
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		if f == Broken {
			w.WriteHeader(http.StatusInternalServerError)
		}
		w.Write([]byte(page))
	case Endless:
		s.endless(w, r, 0, strings.Repeat("a", 4096))
	case Trickle:
		s.endless(w, r, 50*time.Millisecond, "a")
	}
}

// endless takes the connection over and writes more and more to it, until the
// broker or the site closes it.
func (s *Site) endless(w *answer, r *http.Request, pause time.Duration, more string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(s.ctx, func() { conn.Close() })()
	w.status = http.StatusOK
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"name\":\""
	if r.Method == http.MethodHead {
		head = "HTTP/1.1 200 OK\r\n"
		more = "X-" + more + ": " + more + "\r\n"
	}
	for text := head; ; text = more {
		if _, err := conn.Write([]byte(text)); err != nil || !s.pause(pause) {
			return
		}
	}
}
