// SPDX-License-Identifier: Apache-2.0

package login

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/comity-network/comity/internal/webpage"
	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// askLife is how long a request may lie open on a page, in seconds.
const askLife = 600

// asked is an authorization request on its way through the pages.
type asked struct {
	Ask       oauth.Ask `json:"ask"`
	Browser   string    `json:"browser"` // the only one that may go on with it
	ExpiresAt int64     `json:"exp"`
}

// decision is the form on which a person answers: whose answer it is, to what.
type decision struct {
	ID      string `json:"id"` // one answer
	Session string `json:"session"`
	asked
}

// Ask implements oauth.People.
func (p *Pages) Ask(w http.ResponseWriter, r *http.Request, q oauth.Ask) {
	p.proceed(w, r, asked{q, p.browser(w, r), p.Now().Unix() + askLife})
}

// proceed shows what comes next for a request: the login, or the question.
func (p *Pages) proceed(w http.ResponseWriter, r *http.Request, a asked) {
	session, ok, err := p.session(r)
	switch {
	case err != nil:
		p.failed(w, "look up a session", err)
	case !ok || p.tooOld(session, a.Ask):
		if hasPrompt(a.Ask, "none") {
			p.answer(w, r, a.Ask, oauth.Answer{Error: "login_required"})
			return
		}
		p.loginPage(w, http.StatusOK, loginData{Form: p.secret.Seal(sealAsk, a), Name: a.Ask.LoginHint, leadsTo: a.Ask.RedirectURI})
	default:
		p.question(w, r, a, session)
	}
}

// tooOld reports whether the app wants the password to be typed again.
func (p *Pages) tooOld(s accounts.Session, q oauth.Ask) bool {
	age := p.Now().Unix() - s.AuthTime
	return q.MaxAge >= 0 && age > q.MaxAge || hasPrompt(q, "login")
}

func hasPrompt(q oauth.Ask, word string) bool {
	return slices.Contains(strings.Fields(q.Prompt), word)
}

// question asks a person who is logged in, unless the same was allowed before
// to an app that nobody else can pass for.
func (p *Pages) question(w http.ResponseWriter, r *http.Request, a asked, s accounts.Session) {
	state, err := p.Clients.Client(r.Context(), a.Ask.ClientID)
	if err != nil || state.Registration == nil {
		p.failed(w, "look up the app", errors.Join(err, errors.New("no registration")))
		return
	}
	grant, err := p.given(r, a.Ask, s)
	switch {
	case err != nil:
		p.failed(w, "look up grants", err)
	case grant != "" && strings.HasPrefix(a.Ask.RedirectURI, "https://") && !hasPrompt(a.Ask, "consent"):
		p.answer(w, r, a.Ask, oauth.Answer{User: s.User.ID, Grant: grant, AuthTime: s.AuthTime})
	case hasPrompt(a.Ask, "none"):
		p.answer(w, r, a.Ask, oauth.Answer{Error: "consent_required"})
	default:
		p.consentPage(w, state, a, s, p.secret.Seal(sealDecision, decision{registry.NewID(), s.Hash, a}))
	}
}

// given is the grant by which the person has allowed all of it before, or
// empty.
func (p *Pages) given(r *http.Request, q oauth.Ask, s accounts.Session) (string, error) {
	grants, err := p.Accounts.Grants(r.Context(), s.User.ID)
	if err != nil {
		return "", err
	}
	for _, g := range grants {
		if g.ClientID == q.ClientID && g.Resource == q.Resource && protocol.ScopeSubset(q.Scope, g.Scope) {
			return g.ID, nil
		}
	}
	return "", nil
}

// decide takes the answer.
func (p *Pages) decide(w http.ResponseWriter, r *http.Request) {
	posted, ok := p.form(w, r)
	if !ok {
		return
	}
	session, ok, err := p.session(r)
	if err != nil {
		p.failed(w, "look up a session", err)
		return
	}
	var d decision
	if err := p.secret.Open(sealDecision, posted.Get("decision"), &d); err != nil || !ok || d.Session != session.Hash || d.Browser != p.cookie(r, browserCookie) {
		p.errorPage(w, http.StatusForbidden, "This form was made for somebody else, or for another login. Start again from the app.")
		return
	}
	if p.Now().Unix() > d.ExpiresAt {
		p.errorPage(w, http.StatusBadRequest, "This page was open for too long. Start again from the app.")
		return
	}
	err = p.Broker().ClaimOnce(r.Context(), oauth.OneTime{Key: "decision:" + d.ID, ExpiresAt: d.ExpiresAt + 1})
	if errors.Is(err, oauth.ErrSeen) {
		p.errorPage(w, http.StatusConflict, "You have answered this question already. Go back to the app.")
		return
	}
	if err != nil {
		p.failed(w, "note the answer", err)
		return
	}
	switch posted.Get("answer") {
	case "allow":
		p.allow(w, r, d, session)
	case "deny":
		p.answer(w, r, d.Ask, oauth.Answer{Error: "access_denied"})
	default:
		p.errorPage(w, http.StatusBadRequest, "The form says neither allow nor deny.")
	}
}

func (p *Pages) allow(w http.ResponseWriter, r *http.Request, d decision, s accounts.Session) {
	grant, err := p.Accounts.Grant(r.Context(), s.User.ID, d.Ask.ClientID, d.Ask.Resource, d.Ask.Scope)
	if errors.Is(err, registry.ErrLimit) {
		p.errorPage(w, http.StatusConflict, "You have connected too many apps, or this one may do too much: end some of that under connected apps.")
		return
	}
	if err != nil {
		p.failed(w, "store a grant", err)
		return
	}
	p.answer(w, r, d.Ask, oauth.Answer{User: s.User.ID, Grant: grant.ID, AuthTime: s.AuthTime})
}

// answer sends the browser back to the app.
func (p *Pages) answer(w http.ResponseWriter, r *http.Request, q oauth.Ask, a oauth.Answer) {
	to, err := p.Broker().Decide(r.Context(), q, a)
	if failure := (*oauth.Failure)(nil); errors.As(err, &failure) {
		p.errorPage(w, failure.Status, sentence(failure.Description))
		return
	}
	if err != nil {
		p.failed(w, "answer the app", err)
		return
	}
	if to == "" {
		p.decidedPage(w, a)
		return
	}
	webpage.Headers(w, "")
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// resume returns the request that a page carries. One that this browser did not
// begin, or that is too old, is refused on a page; ok is false then. Without
// one, a person just logs in.
func (p *Pages) resume(w http.ResponseWriter, r *http.Request, values url.Values) (a *asked, ok bool) {
	sealed := values.Get("ask")
	if sealed == "" {
		return nil, true
	}
	a = new(asked)
	switch err := p.secret.Open(sealAsk, sealed, a); {
	case err != nil || a.Browser == "" || a.Browser != p.cookie(r, browserCookie):
		p.errorPage(w, http.StatusForbidden, "This link was made for another browser, or this broker was restarted. Start again from the app.")
	case p.Now().Unix() > a.ExpiresAt:
		p.errorPage(w, http.StatusBadRequest, "This page was open for too long. Start again from the app.")
	default:
		return a, true
	}
	return nil, false
}
