// SPDX-License-Identifier: Apache-2.0

package site

import (
	"context"
	"errors"
	"net/http"

	"github.com/comity-network/comity/internal/webpage"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/internal/store"
)

// Grant is one user's consent to one app, as the site's own pages show it.
type Grant struct {
	ID         string
	ClientID   string
	ClientName string // as the app calls itself
	Home       string // issuer of its home broker
	Broker     string // issuer of the broker that mints its tokens
	Scope      string
	CreatedAt  int64  // seconds since 1970
	UsedAt     int64  // when the last token was issued
	Stopped    string // why the app cannot use it now; empty: it can
}

// Grants lists what the user has allowed and not ended, the newest first.
func (s *Site) Grants(ctx context.Context, userID string) ([]Grant, error) {
	stored, err := s.store.Grants(ctx, userID)
	if err != nil {
		return nil, wrap(err)
	}
	grants := make([]Grant, len(stored))
	for i, g := range stored {
		if grants[i], err = s.describe(ctx, g); err != nil {
			return nil, wrap(err)
		}
	}
	return grants, nil
}

func (s *Site) describe(ctx context.Context, g store.Grant) (Grant, error) {
	d := Grant{
		ID: g.ID, ClientID: g.ClientID, Home: g.Home, Broker: g.Broker, Scope: g.Scope, CreatedAt: g.CreatedAt, UsedAt: g.UsedAt,
	}
	client, err := s.trust.Known(ctx, g.ClientID)
	if err != nil {
		return d, err
	}
	d.ClientName = client.Name
	if err := s.apps.judge(g.Broker, g.ClientID, g.Home); err != nil {
		d.Stopped = err.Error()
		return d, nil
	}
	switch err := s.trust.Stopped(ctx, g.ClientID, g.Home); {
	case errors.Is(err, registry.ErrRevoked):
		d.Stopped = err.Error()
	case err != nil && !errors.Is(err, registry.ErrStale):
		return d, err
	}
	return d, nil
}

// EndGrant ends a grant of the user. Its tokens are dead when it returns, and
// the broker learns of it when it tries to refresh. The error wraps
// registry.ErrNotFound when the user has no such grant.
func (s *Site) EndGrant(ctx context.Context, userID, grantID string) error {
	if err := s.store.EndGrant(ctx, userID, grantID, s.config.Now().Unix()); err != nil {
		return wrap(err)
	}
	return nil
}

// endForm is what the button that ends a grant hands back, sealed.
type endForm struct {
	User  string `json:"user"`
	Grant string `json:"grant"`
}

// grantRow is one grant on the page.
type grantRow struct {
	App, Home, Since, Used, Stopped, Form string
	Scopes                                []string
}

func (s *Site) serveGrants(w http.ResponseWriter, r *http.Request) {
	user, ok := s.config.User(r)
	if !ok {
		s.toLogin(w, s.config.Prefix+"/grants")
		return
	}
	grants, err := s.Grants(r.Context(), user)
	if err != nil {
		s.failed(w, "list grants", err)
		return
	}
	rows := make([]grantRow, len(grants))
	for i, g := range grants {
		rows[i] = grantRow{
			g.ClientName, webpage.Registrar(g.Home, g.ClientID), webpage.Stamp(g.CreatedAt), webpage.Stamp(g.UsedAt), g.Stopped,
			s.secret.Seal(sealEnd, endForm{user, g.ID}), s.scopeTexts(g.Scope),
		}
	}
	s.render(w, http.StatusOK, "grants.html", struct {
		frame
		Ended  bool
		Grants []grantRow
	}{s.frame("Connected apps"), r.URL.Query().Has("ended"), rows})
}

func (s *Site) serveEndGrant(w http.ResponseWriter, r *http.Request) {
	posted, err := webpage.ReadForm(w, r)
	if err != nil {
		s.errorPage(w, http.StatusBadRequest, "The form is malformed: "+err.Error()+".")
		return
	}
	var form endForm
	user, ok := s.config.User(r)
	if err := s.secret.Open(sealEnd, posted.Get("grant"), &form); err != nil || !ok || form.User != user {
		s.errorPage(w, http.StatusForbidden, "This form was made for another login. Open the list of connected apps again.")
		return
	}
	if err := s.EndGrant(r.Context(), user, form.Grant); err != nil {
		s.failed(w, "end a grant", err)
		return
	}
	w.Header().Set("Location", s.config.Prefix+"/grants?ended")
	w.WriteHeader(http.StatusSeeOther)
}

// failed answers a page whose own storage does not work.
func (s *Site) failed(w http.ResponseWriter, what string, err error) {
	s.config.Log.Error(what, "error", err)
	s.errorPage(w, http.StatusInternalServerError, "Something went wrong at this site. Try again.")
}
