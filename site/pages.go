// SPDX-License-Identifier: Apache-2.0

package site

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/comity-network/comity/site/internal/trust"
)

//go:embed pages/*.html
var files embed.FS

// pages are the templates of all pages; they need no script and load nothing
// but the style sheet.
var pages = template.Must(template.ParseFS(files, "pages/*.html"))

// frame is what every page shows.
type frame struct {
	Title, Site, Prefix string
}

func (s *Site) frame(title string) frame { return frame{title, s.config.Name, s.config.Prefix} }

// pageHeaders sets what a page of consent needs: never in a frame, never in a
// cache, no script, no request to anybody. Browsers apply form-action to the
// redirect after a form too, so it names where that leads.
func pageHeaders(w http.ResponseWriter, formTarget string) {
	h := w.Header()
	h.Set("Content-Security-Policy", strings.TrimSuffix("default-src 'none'; style-src 'self'; base-uri 'none'; "+
		"frame-ancestors 'none'; form-action 'self' "+formTarget, " "))
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// formTarget is the source expression of a redirect URI's origin.
func formTarget(redirectURI string) string {
	u, err := url.Parse(redirectURI)
	if err != nil {
		return ""
	}
	if u.Host == "" || strings.HasPrefix(u.Host, "[") { // CSP has no IPv6 addresses
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

// destination says for people where a redirect URI leads.
func destination(redirectURI string) string {
	u, err := url.Parse(redirectURI)
	switch {
	case err != nil:
		return redirectURI
	case u.Host == "":
		return "an app on this device (" + u.Scheme + ")"
	case u.Scheme == "http": // loopback: nothing else may be registered
		return "a program on this device (" + u.Host + ")"
	}
	return u.Host
}

func (s *Site) render(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer
	if err := pages.ExecuteTemplate(&page, name, data); err != nil {
		s.config.Log.Error("page not rendered", "page", name, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if _, err := page.WriteTo(w); err != nil {
		s.config.Log.Debug("page not written", "error", err)
	}
}

func (s *Site) errorPage(w http.ResponseWriter, status int, text string) {
	pageHeaders(w, "")
	s.render(w, status, "error.html", struct {
		frame
		Text string
	}{s.frame("This did not work"), text})
}

// consentData is what the consent page shows.
type consentData struct {
	frame
	App, RedirectHost, Home, Broker string
	URI, URIHost, PolicyURI         string
	Scopes                          []string
	Form                            string
}

func (s *Site) consentPage(w http.ResponseWriter, client *trust.Client, q *authRequest, form string) {
	pageHeaders(w, formTarget(q.RedirectURI))
	s.render(w, http.StatusOK, "consent.html", consentData{
		frame: s.frame("Connect an app"),
		App:   client.Name, RedirectHost: destination(q.RedirectURI), Home: host(client.Home), Broker: host(q.Broker),
		URI: client.URI, URIHost: host(client.URI), PolicyURI: client.PolicyURI,
		Scopes: s.scopeTexts(q.Scope), Form: form,
	})
}

// scopeTexts says in words what a scope allows.
func (s *Site) scopeTexts(scope string) []string {
	var texts []string
	for _, word := range strings.Fields(scope) {
		text := s.config.Scopes[word]
		if text == "" {
			text = word
		}
		texts = append(texts, text)
	}
	return texts
}

// stamp writes a time for people and machines; empty for none.
func stamp(t int64) string {
	if t == 0 {
		return ""
	}
	return time.Unix(t, 0).UTC().Format("2006-01-02 15:04Z")
}
