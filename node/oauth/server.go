// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"io"
	"net/http"

	"github.com/comity-network/comity/internal/style"
	"github.com/comity-network/comity/registry"
)

func newPaths(issuer, prefix string) paths {
	return paths{
		// RFC 8414, section 3: between host and path.
		metadata:   "/.well-known/oauth-authorization-server" + prefix,
		openID:     prefix + "/.well-known/openid-configuration", // the other way round
		authorize:  issuer + "/oauth/authorize",
		par:        issuer + "/oauth/par",
		token:      issuer + "/oauth/token",
		userinfo:   issuer + "/oauth/userinfo",
		introspect: issuer + "/oauth/introspect",
		revoke:     issuer + "/oauth/revoke",
		jwks:       issuer + "/oauth/jwks",
		oneTime:    issuer + "/oauth/one_time_token",
		device:     issuer + "/device",
		register:   issuer + "/oauth/register",

		deviceAuthorization: issuer + "/oauth/device_authorization",
		prefix:              prefix,
	}
}

// Handler serves the endpoints of the package comment.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(s.paths.metadata, s.document(func() (any, error) { return s.metadata, nil }))
	mux.Handle(s.paths.prefix+"/oauth/jwks", s.document(s.keySet))
	mux.Handle(s.paths.prefix+"/oauth/par", s.endpoint(s.push))
	mux.Handle(s.paths.prefix+"/oauth/token", s.endpoint(s.token))
	mux.Handle(s.paths.prefix+"/oauth/introspect", s.endpoint(s.introspect))
	mux.Handle(s.paths.prefix+"/oauth/revoke", s.endpoint(s.revoke))
	if s.cfg.People != nil {
		mux.Handle(s.paths.prefix+"/oauth/userinfo", s.endpoint(s.userinfo))
		mux.Handle(s.paths.prefix+"/oauth/device_authorization", s.endpoint(s.deviceAuthorization))
		mux.Handle(s.paths.prefix+"/oauth/one_time_token", s.endpoint(s.oneTimeToken))
		mux.Handle(s.paths.openID, s.document(func() (any, error) { return s.openID, nil }))
	}
	mux.HandleFunc(s.paths.prefix+"/oauth/authorize", s.authorize)
	mux.HandleFunc("GET "+s.paths.prefix+"/oauth/style.css", style.ServeHTTP)
	return mux
}

// Endpoint serves f as the endpoints of this package are served: with the same
// headers, and errors in the same form. f returns the document of the answer,
// nil for an empty one, a Reply, or an error; a *Failure is told as it is.
func (s *Server) Endpoint(f func(w http.ResponseWriter, r *http.Request) (any, error)) http.Handler {
	return s.endpoint(f)
}

func (s *Server) endpoint(f func(w http.ResponseWriter, r *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := begin(w)
		if forBrowsers(w, r) {
			return
		}
		answer, err := f(w, r)
		reply, isReply := answer.(Reply)
		signed, isSigned := answer.(signedAnswer)
		switch {
		case err != nil:
			s.writeFailure(w, s.explain(r, id, err))
		case answer == nil:
			w.WriteHeader(http.StatusOK)
		case isSigned:
			w.Header().Set("Content-Type", signed.media)
			io.WriteString(w, signed.token)
		case isReply && reply.Document == nil:
			w.WriteHeader(reply.Status)
		case isReply:
			writeJSON(w, reply.Status, reply.Document)
		default:
			writeJSON(w, http.StatusOK, answer)
		}
	})
}

// forBrowsers lets the scripts of any page call the endpoint (CORS): none of
// them looks at cookies or at where a request comes from, so a page can do no
// more than any program. It reports whether the request was just the question.
func forBrowsers(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	setAll(h, headersForBrowsers)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// Reply is an answer with a status of its own.
type Reply struct {
	Status   int
	Document any // nil: none
}

// signedAnswer is an answer that is a JWT.
type signedAnswer struct{ media, token string }

// document serves a public document.
func (s *Server) document(f func() (any, error)) http.Handler {
	return s.endpoint(func(_ http.ResponseWriter, r *http.Request) (any, error) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return nil, methodNotAllowed("GET, HEAD")
		}
		return f()
	})
}

// RequestIDHeader names the header that every answer carries. The log has the
// same value as "request".
const RequestIDHeader = "X-Request-Id"

// begin sets the headers that all answers have (RFC 6749, section 5.1; RFC
// 9700, section 4.2.4 and 4.16) and returns the id of the request.
func begin(w http.ResponseWriter) string {
	h := w.Header()
	setAll(h, headersOfAll)
	id := h.Get(RequestIDHeader)
	if id == "" {
		id = registry.NewID()
		h.Set(RequestIDHeader, id)
	}
	return id
}

// header is a header whose value is the same in all answers: it is written down
// once, and never changed.
type header struct {
	name  string // as net/http spells it
	value []string
}

var headersOfAll = []header{
	{"Cache-Control", []string{"no-store"}},
	{"Pragma", []string{"no-cache"}},
	{"Referrer-Policy", []string{"no-referrer"}},
	{"X-Content-Type-Options", []string{"nosniff"}},
	{"X-Frame-Options", []string{"DENY"}},
	{"Content-Security-Policy", []string{"default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"}},
}

var headersForBrowsers = []header{
	{"Access-Control-Allow-Origin", []string{"*"}},
	{"Access-Control-Expose-Headers", []string{"DPoP-Nonce, Retry-After, WWW-Authenticate, " + RequestIDHeader}},
}

func setAll(h http.Header, all []header) {
	for _, one := range all {
		h[one.name] = one.value
	}
}
