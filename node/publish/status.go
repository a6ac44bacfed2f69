// SPDX-License-Identifier: Apache-2.0

package publish

import "net/http"

// overview is what /federation answers.
type overview struct {
	Federation     string   `json:"federation"`
	Name           string   `json:"name"`
	CharterVersion int64    `json:"charter_version"`
	Charter        string   `json:"charter"` // CID of the newest
	MaxAge         int64    `json:"max_age"` // seconds
	Issuer         string   `json:"issuer"`  // of this node's broker
	Fresh          bool     `json:"fresh"`
	StaleReason    string   `json:"stale_reason,omitempty"`
	Members        []Member `json:"members"`
}

func (s server) overview(w http.ResponseWriter, r *http.Request) {
	chain := s.Replica.Chain()
	newest := chain.Latest()
	o := overview{
		Federation: chain.Federation(), Name: newest.Name,
		CharterVersion: newest.Version, Charter: newest.CID, MaxAge: newest.MaxAge,
		Issuer: s.Issuer, Fresh: true, Members: Members(r.Context(), s.Replica, s.Now()),
	}
	if err := s.Fresh(); err != nil {
		o.Fresh, o.StaleReason = false, err.Error()
	}
	if federation, asks := s.Asking(); asks {
		o.Federation, o.Name, o.CharterVersion, o.Charter, o.Members = federation, "", 0, "", []Member{}
	}
	s.sendJSON(w, briefly, o)
}

func (s server) status(w http.ResponseWriter, r *http.Request) {
	wanted := members(r)
	answer := struct {
		Views       []string          `json:"views"`
		Checkpoints map[string]string `json:"checkpoints"`
	}{Views: []string{}, Checkpoints: map[string]string{}}
	if _, asks := s.Asking(); asks {
		s.sendJSON(w, briefly, answer) // what it says of itself alone is no federation's
		return
	}
	for _, view := range s.Replica.Views() {
		if wanted == nil || wanted[view.KeyID] {
			answer.Views = append(answer.Views, view.Raw)
		}
	}
	for _, member := range s.Replica.Chain().Latest().Members {
		key := currentKey(member)
		if wanted != nil && !wanted[key] {
			continue
		}
		if note, err := s.Replica.Checkpoint(r.Context(), key); err == nil {
			answer.Checkpoints[key] = string(note)
		}
	}
	s.sendJSON(w, briefly, answer)
}

func (s server) stopped(w http.ResponseWriter, r *http.Request) {
	list := s.Replica.StopList()
	w.Header().Set("Comity-Stop-List", list.Hash())
	if since := r.URL.Query().Get("since"); since != "" {
		if added, removed, ok := s.Replica.StopListSince(since); ok {
			s.sendJSON(w, briefly, struct {
				Since   string   `json:"since"`
				Hash    string   `json:"hash"`
				Added   []string `json:"added"`
				Removed []string `json:"removed"`
			}{since, list.Hash(), orEmpty(added), orEmpty(removed)})
			return
		}
	}
	send(w, "text/plain; charset=utf-8", briefly, list.Bytes())
}

func orEmpty(lines []string) []string {
	if lines == nil {
		return []string{}
	}
	return lines
}
