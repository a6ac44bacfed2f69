// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Request is one authorization request and what the app remembers of it.
type Request struct {
	URL         string // where to send the browser
	RedirectURI string
	State       string
	Verifier    string
	Issuer      string
}

// NewRequest makes an authorization request for the site. through: by way of
// the broker's authorization endpoint, as a client does that knows RFC 8414
// alone.
func (a *App) NewRequest(t *Target, scope string, through bool) *Request {
	r := &Request{RedirectURI: a.RedirectURI, State: random(), Verifier: random(), Issuer: t.Issuer}
	a.Secrets.Add("code verifier", r.Verifier)
	query := url.Values{
		"response_type": {"code"}, "client_id": {a.ClientID}, "redirect_uri": {r.RedirectURI},
		"state": {r.State}, "scope": {scope}, "resource": {t.Resource},
		"code_challenge": {Challenge(r.Verifier)}, "code_challenge_method": {"S256"},
	}
	if a.DPoP != nil {
		query.Set("dpop_jkt", a.DPoP.Thumbprint())
	}
	endpoint := t.Authorize
	if through {
		endpoint = t.Through
	} else {
		query.Set("issuer", t.Issuer)
	}
	r.URL = endpoint + "?" + query.Encode()
	return r
}

// Denied is an error that came back through the browser.
type Denied struct{ Code, Description string }

// Error makes it an error.
func (d *Denied) Error() string { return d.Code + ": " + d.Description }

// Code takes the code out of the URL to which the browser came back. It
// refuses an answer that is not one to r (state) or not from the broker that
// r was for (iss, RFC 9207).
func (a *App) Code(r *Request, back string) (string, error) {
	u, err := url.Parse(back)
	if err != nil {
		return "", err
	}
	q := u.Query()
	if got, _, _ := strings.Cut(back, "?"); got != r.RedirectURI {
		return "", fmt.Errorf("the browser came back to %s, expected %s", got, r.RedirectURI)
	}
	if q.Get("state") != r.State {
		return "", errors.New("the answer is to another request: state differs")
	}
	if q.Get("iss") != r.Issuer {
		return "", fmt.Errorf("the answer is from %q, expected %q", q.Get("iss"), r.Issuer)
	}
	if code := q.Get("error"); code != "" {
		return "", &Denied{code, q.Get("error_description")}
	}
	a.Secrets.Add("code", q.Get("code"))
	return q.Get("code"), nil
}

func asError(err error, target **Error) bool { return errors.As(err, target) }

func origin(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return target
	}
	return u.Scheme + "://" + u.Host
}

func withoutQuery(target string) string {
	before, _, _ := strings.Cut(target, "?")
	return before
}
