// SPDX-License-Identifier: Apache-2.0

package site

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/comity-network/comity/internal/clientdoc"
	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/webpage"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/internal/trust"
	"github.com/comity-network/comity/site/protocol"
)

// Bounds of an authorization request.
const (
	maxQueryBytes = 12 << 10 // a request object and little else
	maxStateBytes = 2048     // as in request objects
)

// authRequest is an authorization request (RFC 6749, section 4.1.1) whose
// client and redirect URI may be believed after verify.
type authRequest struct {
	Broker       string `json:"broker"` // who is to redeem the code
	ClientID     string `json:"client_id"`
	RedirectURI  string `json:"redirect_uri"`
	ResponseType string `json:"response_type"`
	State        string `json:"state"`
	Scope        string `json:"scope"`
	Resource     string `json:"resource"`
	Challenge    string `json:"code_challenge"`
	Method       string `json:"code_challenge_method"`
	JKT          string `json:"dpop_jkt"`
	Mode         string `json:"response_mode"`
}

// badRequest is a request that must not be answered by a redirect: its client
// or its redirect URI are not verified.
type badRequest struct {
	status int
	text   string // for the user
	cause  error  // for the log
}

func (e *badRequest) Error() string { return e.text }
func (e *badRequest) Unwrap() error { return e.cause }

func bad(status int, text string, cause error) *badRequest { return &badRequest{status, text, cause} }

// oauthError goes to the client by redirect (RFC 6749, section 4.1.2.1).
type oauthError struct{ code, description string }

func (e *oauthError) Error() string { return e.code + ": " + e.description }

// parseRequest reads the parameters of the authorization endpoint. All errors
// are *badRequest: nothing is verified yet.
func (s *Site) parseRequest(ctx context.Context, rawQuery string) (*authRequest, error) {
	form, err := webpage.ParseForm(rawQuery, maxQueryBytes)
	if err != nil {
		return nil, bad(http.StatusBadRequest, "The app has sent a malformed request: "+err.Error()+".", nil)
	}
	switch {
	case form.Has("resume"):
		return s.resume(form.Get("resume"))
	case form.Has("request_uri"):
		return nil, bad(http.StatusBadRequest, "The app has sent request_uri, which this site does not support.", nil)
	case form.Has("request"):
		return s.parseRequestObject(ctx, form)
	}
	q := &authRequest{
		Broker: form.Get("issuer"), ClientID: form.Get("client_id"), RedirectURI: form.Get("redirect_uri"),
		ResponseType: form.Get("response_type"), State: form.Get("state"), Scope: form.Get("scope"),
		Resource: form.Get("resource"), Challenge: form.Get("code_challenge"), Method: form.Get("code_challenge_method"),
		JKT: form.Get("dpop_jkt"), Mode: form.Get("response_mode"),
	}
	if q.Broker == "" {
		q.Broker = s.config.Brokers[0]
	}
	return q, q.checkForm()
}

// resumeLife is how long a login may take, in seconds.
const resumeLife = 3600

// suspended is a request whose user logs in first.
type suspended struct {
	ExpiresAt int64       `json:"exp"`
	Request   authRequest `json:"request"`
}

// suspend makes the link by which the browser comes back from the login.
func (s *Site) suspend(q *authRequest) string {
	return s.config.Prefix + "/authorize?resume=" + s.secret.Seal(sealResume, suspended{s.config.Now().Unix() + resumeLife, *q})
}

func (s *Site) resume(sealed string) (*authRequest, error) {
	var p suspended
	if err := s.secret.Open(sealResume, sealed, &p); err != nil {
		return nil, bad(http.StatusBadRequest, "This link is not complete. Start again from the app.", err)
	}
	if s.config.Now().Unix() > p.ExpiresAt {
		return nil, bad(http.StatusBadRequest, "The login took too long. Start again from the app.", nil)
	}
	return &p.Request, nil
}

func (q *authRequest) checkForm() error {
	switch {
	case q.ClientID == "" || q.RedirectURI == "":
		return bad(http.StatusBadRequest, "The app has not said who it is: client_id and redirect_uri are needed.", nil)
	case len(q.State) > maxStateBytes || !printable(q.State):
		return bad(http.StatusBadRequest, fmt.Sprintf("The app has sent a state that is not at most %d printable characters.", maxStateBytes), nil)
	}
	return nil
}

func printable(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// parseRequestObject reads a request that a broker has received for the site
// and signed (RFC 9101). What is beside it in the query does not count.
func (s *Site) parseRequestObject(ctx context.Context, form url.Values) (*authRequest, error) {
	const text = "The broker has sent this browser here with a request that cannot be verified."
	o, err := protocol.ParseRequest(form.Get("request"))
	if err != nil {
		return nil, bad(http.StatusBadRequest, text, err)
	}
	if !slices.Contains(s.config.Brokers, o.Issuer) {
		return nil, bad(http.StatusBadRequest, text, fmt.Errorf("request object by %s, no broker of this site", o.Issuer))
	}
	if form.Get("client_id") != o.ClientID {
		return nil, bad(http.StatusBadRequest, text, errors.New("request object: client_id differs from the parameter"))
	}
	keys, err := s.trust.TokenKeys(ctx, o.Issuer, o.KeyID())
	if err != nil {
		return nil, bad(http.StatusBadGateway, text, err)
	}
	if err := o.Verify(keys, s.config.Resource, s.config.Now()); err != nil {
		return nil, bad(http.StatusBadRequest, text, err)
	}
	return &authRequest{
		Broker: o.Issuer, ClientID: o.ClientID, RedirectURI: o.RedirectURI, ResponseType: o.ResponseType, State: o.State,
		Scope: o.Scope, Resource: o.Resource, Challenge: o.Challenge, Method: o.Method, JKT: o.DPoPJKT,
	}, nil
}

// verify fetches the client from the broker and judges the request. A
// *badRequest means that nobody may be redirected; an *oauthError goes to the
// verified redirect URI.
func (s *Site) verify(ctx context.Context, q *authRequest) (*trust.Client, error) {
	if !slices.Contains(s.config.Brokers, q.Broker) {
		return nil, bad(http.StatusBadRequest, "The app has named a broker that this site does not work with.", nil)
	}
	client, err := s.client(ctx, q.Broker, q.ClientID)
	if err != nil {
		return nil, clientProblem(q, err)
	}
	if !client.AllowsRedirect(q.RedirectURI) {
		return nil, bad(http.StatusBadRequest, "The address that the app wants the answer sent to is not one that it has registered.", nil)
	}
	if err := s.judge(q, client); err != nil {
		return client, err
	}
	return client, nil
}

// clientProblem says what it means that a client could not be verified.
func clientProblem(q *authRequest, err error) *badRequest {
	switch {
	case registry.IsClientURL(q.ClientID) && (errors.Is(err, clientdoc.ErrUnreachable) || errors.Is(err, clientdoc.ErrNone) || errors.Is(err, registry.ErrForm)):
		return bad(http.StatusBadGateway, "The app describes itself at "+q.ClientID+", and that could not be read: "+err.Error()+".", err)
	case errors.Is(err, ErrDenied):
		return bad(http.StatusForbidden, "The owner of this site does not let this app in.", err)
	case errors.Is(err, registry.ErrNotFound):
		return bad(http.StatusBadRequest, "This app is not registered in the federation.", err)
	case errors.Is(err, registry.ErrRevoked):
		return bad(http.StatusForbidden, "This app, or its broker, was stopped by the federation. It cannot be connected.", err)
	case errors.Is(err, registry.ErrStale):
		return bad(http.StatusServiceUnavailable, "This site cannot find out right now which apps were stopped. Try again in a minute.", err)
	}
	return bad(http.StatusBadGateway, "The broker "+webpage.Host(q.Broker)+" could not prove who this app is. Try again in a minute.", err)
}

// judge checks what may be answered to the client.
func (s *Site) judge(q *authRequest, client *trust.Client) error {
	switch {
	case q.ResponseType != "code":
		return &oauthError{"unsupported_response_type", "response_type must be code"}
	case q.Mode != "" && q.Mode != "query":
		return &oauthError{"invalid_request", "response_mode must be query"}
	case !client.AllowsGrant("authorization_code"):
		return &oauthError{"unauthorized_client", "the client is not registered for authorization codes"}
	case q.Method != protocol.MethodS256:
		return &oauthError{"invalid_request", "code_challenge_method must be S256 (RFC 7636)"}
	case !isDigest(q.Challenge):
		return &oauthError{"invalid_request", "code_challenge must be 43 characters of base64url (RFC 7636)"}
	case q.JKT != "" && !isDigest(q.JKT):
		return &oauthError{"invalid_request", "dpop_jkt must be a JWK thumbprint (RFC 9449, section 10)"}
	case q.Resource != s.config.Resource:
		return &oauthError{"invalid_target", "resource must be " + s.config.Resource}
	}
	return s.judgeScope(q.Scope, client)
}

func (s *Site) judgeScope(scope string, client *trust.Client) error {
	words, err := protocol.ParseScope(scope)
	switch {
	case err != nil:
		return &oauthError{"invalid_scope", err.Error()}
	case len(words) == 0:
		return &oauthError{"invalid_scope", "name at least one scope; scopes_supported in the metadata lists them"}
	case client.Scope != "" && !protocol.ScopeSubset(scope, client.Scope):
		return &oauthError{"invalid_scope", "the client has not registered all of these scopes"}
	}
	for _, word := range words {
		if _, known := s.config.Scopes[word]; !known {
			return &oauthError{"invalid_scope", "unknown scope " + word}
		}
	}
	return nil
}

// isDigest reports whether v is a SHA-256 in canonical base64url.
func isDigest(v string) bool {
	_, ok := jws.Decode(v)
	return ok && len(v) == 43
}
