// SPDX-License-Identifier: Apache-2.0

// Package publish serves what a node knows of its federation to everybody,
// under /federation/ (docs/spec/federation-http.md): the charter, the members'
// views and checkpoints, the stop list, each client with its proof, and every
// log that the node holds, as C2SP tlog-tiles.
//
// All of it is public, and signed or derived from what is signed, so that a
// reader needs to trust neither this node nor the way to it. Nothing about
// people is there. Signed bytes are handed out as they were received.
package publish

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/internal/ratelimit"
	"github.com/comity-network/comity/registry"
)

// Config is what a Handler needs.
type Config struct {
	Replica *federation.Replica
	Issuer  string
	Key     string // thumbprint of this broker's record key
	// Fresh returns nil, or what this broker lacks to act on its stop list.
	Fresh func() error
	// Asking returns the federation that this broker asks to join, while it
	// is in none.
	Asking func() (federation string, asks bool)
	Now    func() time.Time
	Log    *slog.Logger
}

type server struct{ Config }

// Handler serves /federation and everything below it, to GET and HEAD.
func Handler(cfg Config) http.Handler {
	s := server{cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /federation", s.overview)
	mux.HandleFunc("GET /federation/charter", s.charter)
	mux.HandleFunc("GET /federation/charter/{version}", s.charter)
	mux.HandleFunc("GET /federation/status", s.status)
	mux.HandleFunc("GET /federation/stopped", s.stopped)
	mux.HandleFunc("GET /federation/clients/{id}", s.client)
	mux.HandleFunc("GET /federation/brokers/{key}", s.broker)
	mux.HandleFunc("GET /federation/brokers/{key}/log/{path...}", s.log)
	mux.HandleFunc("GET /federation/log/{path...}", s.log)
	return public(mux, ratelimit.New(ratelimit.Config{Every: every, Burst: burst, Keys: 10_000, Now: cfg.Now}))
}

// How much one address may ask: a hosting company may run thousands of sites
// behind one, each of which asks for three documents in 30 s.
const (
	every = 2 * time.Millisecond
	burst = 2000
)

// public marks answers as readable by pages of any origin, since there is
// nothing in them that a cookie would unlock, and slows down whoever asks for
// more than many sites need.
func public(next http.Handler, limit *ratelimit.Limiter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if wait := limit.Take(ratelimit.AddressKey(r.RemoteAddr)); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
			refuse(w, http.StatusTooManyRequests, "too_many_requests", "this address asks for more than the node gives; ask again later, and keep what may be cached")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Cache lifetimes, in the words of Cache-Control. What changes is short-lived:
// a stop must not hide behind a cache.
const (
	forever = "public, max-age=31536000, immutable"
	briefly = "public, max-age=1"
)

func send(w http.ResponseWriter, contentType, cache string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", cache)
	w.Write(body)
}

func (s server) sendJSON(w http.ResponseWriter, cache string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.fail(w, err)
		return
	}
	send(w, "application/json", cache, append(body, '\n'))
}

// refuse answers with an error document in the form of the OAuth endpoints.
func refuse(w http.ResponseWriter, status int, code, description string) {
	body, _ := json.Marshal(map[string]string{"error": code, "error_description": description})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// fail answers for an error of the replica.
func (s server) fail(w http.ResponseWriter, err error) {
	if errors.Is(err, registry.ErrNotFound) {
		refuse(w, http.StatusNotFound, "not_found", "this node holds nothing under that name")
		return
	}
	s.Log.Error("federation request failed", "error", err)
	refuse(w, http.StatusInternalServerError, "server_error", "the node could not read its records; its log says why")
}
