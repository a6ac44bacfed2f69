// SPDX-License-Identifier: Apache-2.0

package site

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strings"

	"github.com/comity-network/comity/internal/webpage"
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
	webpage.Headers(w, "")
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
	webpage.Headers(w, webpage.FormTarget(q.RedirectURI))
	s.render(w, http.StatusOK, "consent.html", consentData{
		frame: s.frame("Connect an app"),
		App:   client.Name, RedirectHost: webpage.Destination(q.RedirectURI), Home: webpage.Registrar(client.Home, client.ID), Broker: webpage.Host(q.Broker),
		URI: client.URI, URIHost: webpage.Host(client.URI), PolicyURI: client.PolicyURI,
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
