// SPDX-License-Identifier: Apache-2.0

package login

import (
	"errors"
	"net/http"

	"github.com/comity-network/comity/internal/webpage"
	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/registry"
)

// endForm is what the button that ends a grant hands back, sealed.
type endForm struct {
	Session string `json:"session"`
	Grant   string `json:"grant"`
}

// grantRow is one grant on the page.
type grantRow struct {
	App, Home, Resource, Since, Stopped, Form string
	Scopes                                    []string
}

// showAccount lists the apps that the person has allowed.
func (p *Pages) showAccount(w http.ResponseWriter, r *http.Request) {
	session, ok, err := p.session(r)
	if err != nil {
		p.failed(w, "look up a session", err)
		return
	}
	if !ok {
		p.redirect(w, "/login")
		return
	}
	grants, err := p.Accounts.Grants(r.Context(), session.User.ID)
	if err != nil {
		p.failed(w, "list grants", err)
		return
	}
	rows := make([]grantRow, len(grants))
	for i, g := range grants {
		if rows[i], err = p.describe(r, g); err != nil {
			p.failed(w, "describe a grant", err)
			return
		}
		rows[i].Form = p.secret.Seal(sealEnd, endForm{session.Hash, g.ID})
	}
	webpage.Headers(w, "")
	p.render(w, http.StatusOK, "account.html", struct {
		frame
		Person string
		Ended  bool
		Grants []grantRow
	}{p.frame("Connected apps"), session.User.DisplayName, r.URL.Query().Has("ended"), rows})
}

func (p *Pages) describe(r *http.Request, g accounts.Grant) (grantRow, error) {
	row := grantRow{App: g.ClientID, Resource: p.place(g.Resource), Scopes: p.scopes(g.Resource, g.Scope), Since: webpage.Stamp(g.CreatedAt)}
	state, err := p.Clients.Client(r.Context(), g.ClientID)
	if errors.Is(err, registry.ErrNotFound) {
		row.Stopped = "no longer registered"
		return row, nil
	}
	if err != nil && !registry.IsClientURL(g.ClientID) { // which may not answer: its name is its URL then
		return row, err
	}
	row.Home = home(state)
	if state.Registration != nil {
		row.App = state.Registration.Registration.Name
	}
	if state.Status != registry.ClientActive {
		row.Stopped = string(state.Status)
	}
	return row, nil
}

// endGrant ends one of them. Its tokens are dead when the page comes back.
func (p *Pages) endGrant(w http.ResponseWriter, r *http.Request) {
	posted, ok := p.form(w, r)
	if !ok {
		return
	}
	session, ok, err := p.session(r)
	if err != nil {
		p.failed(w, "look up a session", err)
		return
	}
	var form endForm
	if err := p.secret.Open(sealEnd, posted.Get("grant"), &form); err != nil || !ok || form.Session != session.Hash {
		p.errorPage(w, http.StatusForbidden, "This form was made for another login. Open the list of connected apps again.")
		return
	}
	_, err = p.Accounts.EndGrant(r.Context(), session.User.ID, form.Grant)
	if err != nil && !errors.Is(err, registry.ErrNotFound) { // ended before: kill what may be left
		p.failed(w, "end a grant", err)
		return
	}
	if err := p.Broker().EndGrant(r.Context(), form.Grant); err != nil {
		p.failed(w, "end a grant", err)
		return
	}
	p.redirect(w, "/account?ended")
}
