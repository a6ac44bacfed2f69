// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"

	"github.com/comity-network/comity/internal/strictjson"
)

// SocketName is the name of the socket in the data directory.
const SocketName = "admin.sock"

// maxRequest bounds a request: a registration and its envelope.
const maxRequest = 64 << 10

// Listen opens the socket at path for the owner alone. A socket that a killed
// process left behind is replaced; the caller holds the directory's lock.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open control socket %s (%d characters; the system allows about 100): %w", path, len(path), err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	return l, nil
}

// Handler serves ops.
func Handler(ops Operations) http.Handler {
	mux := http.NewServeMux()
	handle(mux, "/status", func(ctx context.Context, _ struct{}) (Status, error) { return ops.Status(ctx) })
	handle(mux, "/app/register", ops.RegisterApp)
	handle(mux, "/app/update", ops.UpdateApp)
	handle(mux, "/app/rotate-secret", ops.RotateSecret)
	handle(mux, "/app/show", ops.ShowApp)
	handle(mux, "/app/list", ops.ListApps)
	handle(mux, "/app/local", ops.ListLocalApps)
	handle(mux, "/app/promote", ops.PromoteApp)
	handle(mux, "/app/token", ops.MakeToken)
	handle(mux, "/app/tokens", func(ctx context.Context, _ struct{}) (TokenList, error) { return ops.ListTokens(ctx) })
	handle(mux, "/app/end-token", ops.EndToken)
	handle(mux, "/federation/show", func(ctx context.Context, _ struct{}) (Federation, error) { return ops.ShowFederation(ctx) })
	handle(mux, "/federation/create", ops.FoundFederation)
	handle(mux, "/federation/requests", func(ctx context.Context, _ struct{}) (RequestList, error) { return ops.ListRequests(ctx) })
	handle(mux, "/federation/approve", ops.ApproveRequest)
	handle(mux, "/federation/refuse", ops.RefuseRequest)
	handle(mux, "/federation/expel", ops.ExpelMember)
	handle(mux, "/federation/leave", func(ctx context.Context, _ struct{}) (Decision, error) { return ops.LeaveFederation(ctx) })
	handle(mux, "/user/add", ops.AddUser)
	handle(mux, "/user/list", ops.ListUsers)
	handle(mux, "/user/passwd", ops.SetUserPassword)
	handle(mux, "/user/disable", ops.DisableUser)
	handle(mux, "/user/enable", ops.EnableUser)
	handle(mux, "/user/remove", ops.RemoveUser)
	handle(mux, "/site/list", func(ctx context.Context, _ struct{}) (SiteList, error) { return ops.ListSites(ctx) })
	handle(mux, "/site/show", ops.ShowSite)
	handle(mux, "/site/check", ops.CheckSite)
	handle(mux, "/site/allow", ops.AllowSite)
	handle(mux, "/site/deny", ops.DenySite)
	mux.HandleFunc("POST /app/stop", func(w http.ResponseWriter, r *http.Request) { stop(w, r, ops) })
	return mux
}

// handle serves one operation as a JSON request and answer.
func handle[In, Out any](mux *http.ServeMux, path string, do func(context.Context, In) (Out, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		in, err := decode[In](r)
		if err != nil {
			fail(w, http.StatusBadRequest, err)
			return
		}
		out, err := do(r.Context(), in)
		if err != nil {
			fail(w, http.StatusUnprocessableEntity, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(out)
	})
}

func decode[In any](r *http.Request) (In, error) {
	var in In
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxRequest))
	if err != nil {
		return in, fmt.Errorf("read request: %w", err)
	}
	return in, strictjson.Unmarshal(body, &in)
}

// stop streams the progress of a stop, one JSON line each.
func stop(w http.ResponseWriter, r *http.Request, ops Operations) {
	in, err := decode[Stop](r)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	begun := false
	enc := json.NewEncoder(w)
	send := func(p StopProgress) {
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "application/x-ndjson")
		}
		enc.Encode(p)
		http.NewResponseController(w).Flush()
	}
	if err := ops.StopApp(r.Context(), in, send); err != nil {
		if begun {
			send(StopProgress{Error: err.Error(), Done: true})
			return
		}
		fail(w, http.StatusUnprocessableEntity, err)
	}
}

func fail(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}
