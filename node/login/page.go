// SPDX-License-Identifier: Apache-2.0

package login

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/comity-network/comity/internal/webpage"
	"github.com/comity-network/comity/node/accounts"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
)

//go:embed pages/*.html
var files embed.FS

var pages = template.Must(template.ParseFS(files, "pages/*.html"))

// frame is what every page shows.
type frame struct {
	Title, Broker, Issuer, Prefix string
}

func (p *Pages) frame(title string) frame {
	return frame{title, p.Organisation, webpage.Host(p.Issuer), p.prefix}
}

func (p *Pages) render(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer
	if err := pages.ExecuteTemplate(&page, name, data); err != nil {
		p.Log.Error("page not rendered", "page", name, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if _, err := page.WriteTo(w); err != nil {
		p.Log.Debug("page not written", "error", err)
	}
}

func (p *Pages) errorPage(w http.ResponseWriter, status int, text string) {
	webpage.Headers(w, "")
	p.render(w, status, "error.html", struct {
		frame
		Text string
	}{p.frame("This did not work"), text})
}

// form reads what one of our own pages posts; when that fails, the answer is
// sent and ok is false.
func (p *Pages) form(w http.ResponseWriter, r *http.Request) (posted url.Values, ok bool) {
	posted, err := webpage.ReadForm(w, r)
	if err != nil {
		p.errorPage(w, http.StatusBadRequest, "The form is malformed: "+err.Error()+".")
	}
	return posted, err == nil
}

// failed shows that something went wrong here; the log has what.
func (p *Pages) failed(w http.ResponseWriter, doing string, err error) {
	p.Log.Error("cannot "+doing, "error", err)
	p.errorPage(w, http.StatusInternalServerError, "Something went wrong at this broker. Try again.")
}

func (p *Pages) redirect(w http.ResponseWriter, path string) {
	webpage.Headers(w, "")
	w.Header().Set("Location", p.prefix+path)
	w.WriteHeader(http.StatusSeeOther) // a password is never sent again
}

// loginData is what the login page shows.
type loginData struct {
	frame
	Form  string // the sealed request, or empty
	Name  string
	Wrong string

	leadsTo string // redirect URI of the app that asks: the login may lead there at once
}

func (p *Pages) loginPage(w http.ResponseWriter, status int, data loginData) {
	webpage.Headers(w, formTarget(data.leadsTo))
	data.frame = p.frame("Log in")
	p.render(w, status, "login.html", data)
}

// scopeTexts says in words what the scopes that this broker itself serves allow.
var scopeTexts = map[string]string{
	"openid":  "recognise you, by an identifier that other apps do not get",
	"profile": "see your name",
}

// consentData is what the consent page shows.
type consentData struct {
	frame
	Person, App, RedirectHost, Home, Resource string
	URI, URIHost, PolicyURI                   string
	Device                                    bool // the app is on another device
	Scopes                                    []string
	Form                                      string
}

func (p *Pages) consentPage(w http.ResponseWriter, state registry.ClientState, a asked, s accounts.Session, form string) {
	m := state.Registration.Registration.ClientMetadata
	data := consentData{
		frame: p.frame("Connect an app"), Person: s.User.DisplayName,
		App: m.Name, Device: a.Ask.Device != "", RedirectHost: webpage.Destination(a.Ask.RedirectURI), Home: home(state), Resource: p.place(a.Ask.Resource),
		URI: m.URI, URIHost: webpage.Host(m.URI), PolicyURI: m.PolicyURI, Scopes: p.scopes(a.Ask.Resource, a.Ask.Scope), Form: form,
	}
	webpage.Headers(w, formTarget(a.Ask.RedirectURI))
	p.render(w, http.StatusOK, "consent.html", data)
}

// home says who vouches for an app.
func home(state registry.ClientState) string {
	if oauth.IsLocal(state.ID) {
		return "nobody: it has registered itself here"
	}
	return webpage.Registrar(state.Home, state.ID)
}

// scopes says in words what a scope of a resource allows, where they are known.
func (p *Pages) scopes(resource, scope string) []string {
	words := strings.Fields(scope)
	for i, word := range words {
		if text := scopeTexts[word]; text != "" && resource == p.Issuer {
			words[i] = text
		}
	}
	return words
}

// sentence makes one of the description of an error.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}

func formTarget(redirectURI string) string {
	if redirectURI == "" {
		return ""
	}
	return webpage.FormTarget(redirectURI)
}

// place names a resource for people; it is empty for this broker itself.
func (p *Pages) place(resource string) string {
	if resource == p.Issuer {
		return ""
	}
	return strings.TrimPrefix(strings.TrimPrefix(resource, "https://"), "http://")
}

// without removes a word from a list.
func without(words, word string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(words), func(w string) bool { return w == word }), " ")
}
