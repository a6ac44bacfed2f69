// SPDX-License-Identifier: Apache-2.0

// Package webpage is what the pages of brokers and of sites have in common:
// headers under which a page of consent is safe, how forms are read, and how
// people are told where something leads.
package webpage

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// maxFormBytes bounds the forms of our own pages.
const maxFormBytes = 32 << 10

// Headers sets what a page of consent needs: never in a frame, never in a
// cache, no script, no request to anybody. Browsers apply form-action to the
// redirect after a form too, so formTarget names where that leads (FormTarget),
// or is empty.
func Headers(w http.ResponseWriter, formTarget string) {
	h := w.Header()
	h.Set("Content-Security-Policy", strings.TrimSuffix("default-src 'none'; style-src 'self'; base-uri 'none'; "+
		"frame-ancestors 'none'; form-action 'self' "+formTarget, " "))
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// FormTarget is the source expression of a redirect URI's origin.
func FormTarget(redirectURI string) string {
	u, err := url.Parse(redirectURI)
	if err != nil {
		return ""
	}
	if u.Host == "" || strings.HasPrefix(u.Host, "[") { // CSP has no IPv6 addresses
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

// Destination says for people where a redirect URI leads.
func Destination(redirectURI string) string {
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

// Host is the host of a URL, for people.
func Host(of string) string {
	u, err := url.Parse(of)
	if err != nil {
		return of
	}
	return u.Host
}

// Registrar says who vouches for what an app says of itself: the host of its
// home broker, or nobody, where its client_id is a URL.
func Registrar(home, clientID string) string {
	if home == "" {
		return "nobody: " + Host(clientID) + " alone says what it is"
	}
	return Host(home)
}

// Stamp writes a time, in seconds since 1970, for people and machines; empty
// for 0.
func Stamp(t int64) string {
	if t == 0 {
		return ""
	}
	return time.Unix(t, 0).UTC().Format("2006-01-02 15:04Z")
}

// ReadForm reads the form that one of our own pages posts: parameters in the
// body alone.
func ReadForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("it is not application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFormBytes))
	if err != nil {
		return nil, errors.New("it is too long")
	}
	return ParseForm(string(body), maxFormBytes)
}

// ParseForm reads parameters, at most so many bytes of them, each once and all
// of them text.
func ParseForm(raw string, longest int) (url.Values, error) {
	if len(raw) > longest {
		return nil, fmt.Errorf("more than %d bytes of parameters", longest)
	}
	form, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errors.New("the parameters are not a well-formed query")
	}
	for name, values := range form {
		if len(values) > 1 {
			return nil, fmt.Errorf("a parameter is there twice: %.40q", name)
		}
		if !utf8.ValidString(values[0]) || strings.ContainsRune(values[0], 0) {
			return nil, fmt.Errorf("the parameter %.40q is not text", name)
		}
	}
	return form, nil
}
