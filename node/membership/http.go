// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"encoding/json"
	"errors"
	"math"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/internal/ratelimit"
	"github.com/comity-network/comity/registry"
)

// Answer is what /federation/requests answers.
type Answer struct {
	ID      string          `json:"id"`
	State   State           `json:"state"`
	Reason  string          `json:"reason,omitempty"`  // of a refusal
	Charter json.RawMessage `json:"charter,omitempty"` // proposed: to be signed; admitted: in force
}

// Handler serves /federation/requests and what is below it.
func (d *Desk) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /federation/requests", d.post)
	mux.HandleFunc("GET /federation/requests/{id}", d.get)
	mux.HandleFunc("POST /federation/requests/{id}", d.countersign)
	return mux
}

func (d *Desk) post(w http.ResponseWriter, r *http.Request) {
	body, ok := d.body(w, r, "application/jwt", registry.MaxRecordBytes)
	if !ok {
		return
	}
	request, state, err := d.Submit(r.Context(), body)
	if err != nil {
		d.fail(w, err)
		return
	}
	d.send(w, http.StatusAccepted, Answer{ID: request.ID, State: state, Reason: request.Reason})
}

func (d *Desk) get(w http.ResponseWriter, r *http.Request) {
	request, err := d.Store.Request(r.Context(), r.PathValue("id"), d.Now().Unix())
	if err != nil {
		d.fail(w, err)
		return
	}
	state, charter := d.stateOf(request)
	d.send(w, http.StatusOK, answer(request, state, charter))
}

func (d *Desk) countersign(w http.ResponseWriter, r *http.Request) {
	body, ok := d.body(w, r, "application/jose+json", registry.MaxCharterBytes)
	if !ok {
		return
	}
	id := r.PathValue("id")
	state, charter, err := d.Countersign(r.Context(), id, body)
	if err != nil {
		d.fail(w, err)
		return
	}
	d.send(w, http.StatusOK, answer(Request{ID: id}, state, charter))
}

func answer(r Request, state State, charter *registry.SignedCharter) Answer {
	a := Answer{ID: r.ID, State: state}
	if state == Refused {
		a.Reason = r.Reason
	}
	if charter != nil {
		a.Charter = charter.Raw
	}
	return a
}

// body reads a POST within its bounds of rate, type and size.
func (d *Desk) body(w http.ResponseWriter, r *http.Request, want string, most int64) ([]byte, bool) {
	wait := d.byRemote.Take(ratelimit.AddressKey(r.RemoteAddr))
	if wait == 0 {
		wait = d.all.Take("")
	}
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		refuse(w, http.StatusTooManyRequests, "slow_down", "too many requests for membership: try again later")
		return nil, false
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != want {
		refuse(w, http.StatusUnsupportedMediaType, "invalid_request", "Content-Type must be "+want)
		return nil, false
	}
	body, err := guard.ReadLimited(r.Body, most)
	if errors.Is(err, guard.ErrTooLong) {
		refuse(w, http.StatusRequestEntityTooLarge, "invalid_request", "the body is too long: "+err.Error())
		return nil, false
	}
	return body, err == nil
}

// fail answers for an error of the desk.
func (d *Desk) fail(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, registry.ErrForm), errors.Is(err, registry.ErrSignature):
		refuse(w, http.StatusBadRequest, "invalid_request", err.Error())
	case errors.Is(err, registry.ErrNotFound):
		refuse(w, http.StatusNotFound, "not_found", "there is no such request: it was never made, or it has expired")
	case errors.Is(err, registry.ErrStale):
		refuse(w, http.StatusBadRequest, "stale", err.Error())
	case errors.Is(err, registry.ErrConflict):
		refuse(w, http.StatusConflict, "conflict", err.Error())
	case errors.Is(err, registry.ErrLimit):
		w.Header().Set("Retry-After", strconv.Itoa(int(time.Hour/time.Second)))
		refuse(w, http.StatusServiceUnavailable, "temporarily_unavailable", err.Error())
	default:
		d.Log.Error("membership request failed", "error", err)
		refuse(w, http.StatusInternalServerError, "server_error", "the node could not store the request; its log says why")
	}
}

func (d *Desk) send(w http.ResponseWriter, status int, a Answer) {
	body, err := json.Marshal(a)
	if err != nil {
		d.fail(w, err)
		return
	}
	write(w, status, body)
}

func refuse(w http.ResponseWriter, status int, code, description string) {
	body, _ := json.Marshal(map[string]string{"error": code, "error_description": description})
	write(w, status, body)
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
