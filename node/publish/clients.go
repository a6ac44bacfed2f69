// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
)

// clientDocument is what /federation/clients/{id} answers: everything that a
// site needs to judge the client by itself.
type clientDocument struct {
	ClientID     string   `json:"client_id"`
	State        string   `json:"state"`
	Home         string   `json:"home"`
	Reason       string   `json:"reason,omitempty"`
	Since        int64    `json:"since,omitempty"`
	Until        int64    `json:"until,omitempty"`
	Cutoff       int64    `json:"cutoff,omitempty"`
	First        string   `json:"first"`        // the registration with seq 0; empty: client_id is a URL
	Registration string   `json:"registration"` // the newest that counts; likewise
	Records      []string `json:"records"`      // that justify a stop
	Log          string   `json:"log"`          // thumbprint of the log's key
	Index        int64    `json:"index"`        // of registration
	Checkpoint   string   `json:"checkpoint"`
	Proof        []string `json:"proof"` // that registration is under checkpoint
}

func (s server) client(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if err := registry.CheckClientID(id); err != nil {
		refuse(w, http.StatusNotFound, "unknown_client", "that is not a client_id: "+err.Error())
		return
	}
	p, err := s.Replica.Proof(r.Context(), id)
	if errors.Is(err, registry.ErrNotFound) {
		refuse(w, http.StatusNotFound, "unknown_client", "no broker of this federation has registered that client")
		return
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	d := clientDocument{
		ClientID: p.ID, State: string(p.Status), Home: p.Home,
		Reason: p.Reason, Since: p.Since, Until: p.Until, Cutoff: p.Cutoff,
		Records: []string{}, Proof: []string{},
		Log: p.Log, Index: p.Index, Checkpoint: string(p.Checkpoint),
	}
	if p.Registration != nil {
		d.First, d.Registration = p.First.Raw, p.Registration.Raw
	}
	for _, record := range p.Because {
		d.Records = append(d.Records, record.Raw)
	}
	for _, hash := range p.Inclusion {
		d.Proof = append(d.Proof, jws.Base64.EncodeToString(hash[:]))
	}
	s.sendJSON(w, briefly, d)
}

func (s server) broker(w http.ResponseWriter, r *http.Request) {
	record, err := s.Replica.BrokerRecord(r.Context(), r.PathValue("key"))
	if err != nil {
		s.fail(w, err)
		return
	}
	send(w, "application/jwt", briefly, []byte(record.Raw))
}

// log serves a log as C2SP tlog-tiles.
func (s server) log(w http.ResponseWriter, r *http.Request) {
	key, path := r.PathValue("key"), r.PathValue("path")
	if key == "" {
		key = s.Key
	}
	if path == "checkpoint" {
		note, err := s.Replica.Checkpoint(r.Context(), key)
		if err != nil {
			s.fail(w, err)
			return
		}
		send(w, "text/plain; charset=utf-8", briefly, note)
		return
	}
	tile, err := registry.ParseTilePath(path)
	if err != nil {
		refuse(w, http.StatusNotFound, "not_found", "a log has a checkpoint and tiles (C2SP tlog-tiles): "+err.Error())
		return
	}
	data, err := s.Replica.Tile(r.Context(), key, tile)
	if err != nil {
		s.fail(w, err)
		return
	}
	send(w, "application/octet-stream", forever, data)
}

func (s server) charter(w http.ResponseWriter, r *http.Request) {
	if _, asks := s.Asking(); asks {
		refuse(w, http.StatusNotFound, "not_found", "this broker asks for membership, and is in no federation yet")
		return
	}
	chain := s.Replica.Chain()
	if r.PathValue("version") == "" {
		send(w, "application/jose+json", briefly, chain.Latest().Raw)
		return
	}
	version, err := strconv.ParseInt(r.PathValue("version"), 10, 64)
	if err != nil || strconv.FormatInt(version, 10) != r.PathValue("version") {
		refuse(w, http.StatusNotFound, "not_found", "a charter version is a number: 1, 2, 3 …")
		return
	}
	c := chain.Version(version)
	if c == nil {
		refuse(w, http.StatusNotFound, "not_found", "this node has no charter of that version")
		return
	}
	send(w, "application/jose+json", briefly, c.Raw)
}

// members reads the members parameter: thumbprints separated by commas, nil
// for all.
func members(r *http.Request) map[string]bool {
	names := r.URL.Query().Get("members")
	if names == "" {
		return nil
	}
	wanted := map[string]bool{}
	for _, name := range strings.Split(names, ",") {
		wanted[name] = true
	}
	return wanted
}
