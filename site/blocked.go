// SPDX-License-Identifier: Apache-2.0

package site

import (
	"net/http"

	"github.com/comity-network/comity/internal/webpage"
)

// blockedRow is one stopped app on the page.
type blockedRow struct{ Name, ID, Home, Status, Reason, Until string }

// blockedData is what the page of blocked apps shows: them, and how far the
// site can vouch for the list.
type blockedData struct {
	frame
	Apps                  []blockedRow
	Total, Members        int
	Agreed, Asked         int
	Federation, Confirmed string
	Stale                 string
}

func (s *Site) serveBlocked(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.config.User(r); !ok {
		s.toLogin(w, s.config.Prefix+"/blocked")
		return
	}
	blocked, total, err := s.trust.Blocked(r.Context())
	if err != nil {
		s.failed(w, "list blocked apps", err)
		return
	}
	report := s.trust.Report()
	data := blockedData{
		frame: s.frame("Blocked apps"), Total: total, Members: report.Members, Agreed: report.Agreed, Asked: report.Asked,
		Federation: report.Name, Confirmed: webpage.Stamp(report.CertifiedAt),
	}
	for _, b := range blocked {
		data.Apps = append(data.Apps, blockedRow{b.Name, b.ID, webpage.Registrar(b.Home, b.ID), b.Status, b.Reason, webpage.Stamp(b.Until)})
	}
	if report.Fresh != nil {
		data.Stale = "This site refuses all apps: " + report.Fresh.Error()
		if s.config.WhenStale == AcceptWhenStale {
			data.Stale = "This site takes no new tokens: " + report.Fresh.Error()
		}
	}
	s.render(w, http.StatusOK, "blocked.html", data)
}
