// SPDX-License-Identifier: Apache-2.0

package oldsite

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// rel is the link relation of the API index.
const rel = "https://api.w.org/"

// front answers HEAD and GET of the site's own URL. A HEAD that is redirected
// comes back with hop, the number of redirects so far.
func (s *Site) front(w http.ResponseWriter, r *http.Request) {
	b := s.behaves()
	hop, _ := strconv.Atoi(r.URL.Query().Get("hop"))
	here := *s.base
	here.Path += "/"
	here.RawQuery = "hop=" + strconv.Itoa(hop+1)
	if to, sent := b.sentTo(&here, hop); sent {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	for _, link := range b.Link.headers(s.IndexURL(), s.base.Path) {
		w.Header().Add("Link", link)
	}
	if b.Link == EndpointHeader {
		w.Header().Set("X-BA-Endpoint", "connection-request")
	}
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	fmt.Fprintln(w, "<!doctype html><title>An old site</title>")
}

// sentTo is where HEAD is redirected to, if it is.
func (b Behaviour) sentTo(here *url.URL, hop int) (string, bool) {
	switch {
	case b.Redirects >= 0 && hop >= b.Redirects:
		return "", false
	case b.RedirectTo != "":
		return b.RedirectTo, true
	}
	return here.String(), true
}

// headers are the values of the Link headers that name index.
func (f LinkForm) headers(index, path string) []string {
	right := "<" + index + `>; rel="` + rel + `"`
	feed := `</feed/?a=1,2;b>; rel="alternate"; title="Comments, and more; of \"all\""`
	short := `</?p=1>; rel=shortlink`
	switch f {
	case SeveralHeaders:
		return []string{feed, short, right}
	case SeveralLinks:
		return []string{feed + ", " + short + "," + right}
	case ParameterOrder:
		return []string{"<" + index + `>; title="the API; rel=\"next\"";type="application/json" ; rel="` + rel + `"`}
	case SeveralRels:
		return []string{"<" + index + `>; rel="service ` + rel + `"`}
	case RelativeLink:
		_, after, _ := strings.Cut(index, "://")
		_, after, _ = strings.Cut(after, "/")
		return []string{"</" + after + `>; rel="` + rel + `"`}
	case EndpointHeader, NoLink:
		return nil
	}
	return []string{right}
}

// index answers with the API index.
func (s *Site) index(w http.ResponseWriter, r *http.Request) {
	b := s.behaves()
	home := s.base.String()
	index := map[string]any{
		"name":            s.cfg.Name,
		"description":     s.cfg.Description,
		"url":             home,
		"home":            home,
		"gmt_offset":      "0",
		"timezone_string": "",
		"namespaces":      []string{"oembed/1.0", "broker/v1", "wp/v2"},
		"authentication": map[string]any{
			"oauth1": map[string]any{
				"request":   home + "/oauth1/request",
				"authorize": home + "/oauth1/authorize",
				"access":    home + "/oauth1/access",
				"version":   "0.1",
			},
			"broker": s.ConnectURL(),
		},
		"routes": map[string]any{},
	}
	if missing := b.IndexBytes - len(encode(index)) - len(`"\/":""`); missing > 0 {
		index["routes"] = map[string]any{"/": strings.Repeat("x", missing)}
	}
	if b.EditIndex != nil {
		b.EditIndex(index)
	}
	if fields := r.URL.Query().Get("_fields"); fields != "" {
		kept := map[string]any{}
		for field := range strings.SplitSeq(fields, ",") {
			if value, ok := index[strings.TrimSpace(field)]; ok {
				kept[strings.TrimSpace(field)] = value
			}
		}
		index = kept
	}
	s.answer(w, http.StatusOK, "GET", index)
}

// answer writes a JSON answer as the REST API does.
func (s *Site) answer(w http.ResponseWriter, status int, allow string, body any) {
	s.restHeader(w, allow)
	w.WriteHeader(status)
	w.Write(encode(body))
}

func (s *Site) restHeader(w http.ResponseWriter, allow string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Link", "<"+s.IndexURL()+`>; rel="`+rel+`"`)
	w.Header().Set("Allow", allow)
}

// encode writes JSON as PHP does, which escapes the slash.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps, strings and numbers only
	}
	return []byte(strings.ReplaceAll(string(text), "/", `\/`))
}

// problem writes an error of the REST API.
func (s *Site) problem(w http.ResponseWriter, allow string, p Refusal, data map[string]any) {
	if data == nil {
		data = map[string]any{}
	}
	data["status"] = p.Status
	s.answer(w, p.Status, allow, map[string]any{"code": p.Code, "message": p.Message, "data": data})
}

func (s *Site) noRoute(w http.ResponseWriter, r *http.Request) {
	s.problem(w, "GET", Refusal{http.StatusNotFound, "rest_no_route", "There is no such route."}, nil)
}
