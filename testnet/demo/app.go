// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"crypto/rand"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/site"
)

const (
	appName  = "Reading List"
	appScope = site.ReadNotes // what it asks every site for
)

// appServer is the app of the story: a small web application with one user. It
// knows its own registration and asks its user for a site; all else it finds
// out over HTTP.
type appServer struct {
	client app.App
	url    string
	server *http.Server

	mu       sync.Mutex
	sessions map[string]*session // by cookie
	latest   *session
	redeemed redemption
}

// session is one browser: the site that it is on its way to, and what came
// of it.
type session struct {
	target  *app.Target
	request *app.Request
	tokens  *app.Tokens
}

// redemption says when the app went to the broker with a code and when it had
// the answer.
type redemption struct{ asked, answered time.Time }

func newAppServer() (*appServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &appServer{sessions: map[string]*session{}, url: "http://" + l.Addr().String()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /connect", s.connect)
	mux.HandleFunc("GET /callback", s.callback)
	mux.HandleFunc("GET /notes", s.notes)
	s.client.RedirectURI = s.url + "/callback"
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go s.server.Serve(l)
	return s, nil
}

var appPage = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><title>Reading List</title>
<h1>Reading List</h1>
<p>{{.Text}}</p>
{{if .Ask}}<form method="post" action="/connect">
<label>The address of your site <input name="site" type="url" required></label>
<button>Connect</button>
</form>{{end}}
</html>
`))

func (s *appServer) show(w http.ResponseWriter, status int, ask bool, text string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	appPage.Execute(w, struct {
		Text string
		Ask  bool
	}{text, ask})
}

func (s *appServer) home(w http.ResponseWriter, _ *http.Request) {
	s.show(w, http.StatusOK, true, "Where do you keep your notes?")
}

// connect finds out everything about the site and sends the browser there.
func (s *appServer) connect(w http.ResponseWriter, r *http.Request) {
	target, err := s.client.Discover(r.Context(), r.FormValue("site")+"/api/notes", "")
	if err != nil {
		s.show(w, http.StatusBadGateway, true, "That site cannot be used: "+err.Error())
		return
	}
	request := s.client.NewRequest(target, appScope, false)
	cookie := &http.Cookie{Name: "session", Value: rand.Text(), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	s.mu.Lock()
	s.latest = &session{target: target, request: request}
	s.sessions[cookie.Value] = s.latest
	s.mu.Unlock()
	http.SetCookie(w, cookie)
	http.Redirect(w, r, request.URL, http.StatusSeeOther)
}

// callback takes the code to the broker.
func (s *appServer) callback(w http.ResponseWriter, r *http.Request) {
	session := s.session(r)
	if session == nil {
		s.show(w, http.StatusBadRequest, true, "This browser did not start a connection here.")
		return
	}
	code, err := s.client.Code(session.request, s.url+r.URL.String())
	if err != nil {
		s.show(w, http.StatusBadRequest, true, "Not connected: "+err.Error())
		return
	}
	asked := time.Now()
	tokens, err := s.client.Redeem(r.Context(), session.target, session.request, code)
	s.mu.Lock()
	s.redeemed = redemption{asked, time.Now()}
	session.tokens = tokens
	s.mu.Unlock()
	if err != nil {
		s.show(w, http.StatusBadGateway, true, "Not connected: "+err.Error())
		return
	}
	s.show(w, http.StatusOK, false, "Connected to "+session.target.Resource+".")
}

// notes calls the site with the token.
func (s *appServer) notes(w http.ResponseWriter, r *http.Request) {
	session := s.session(r)
	if session == nil || session.tokens == nil {
		s.show(w, http.StatusForbidden, true, "Not connected yet.")
		return
	}
	answer, err := s.client.Call(r.Context(), session.target, session.tokens)
	if err != nil {
		s.show(w, http.StatusBadGateway, false, err.Error())
		return
	}
	if answer.Status != http.StatusOK {
		s.show(w, answer.Status, false, fmt.Sprintf("The site refuses: %s", answer.Challenge))
		return
	}
	s.show(w, http.StatusOK, false, answer.Body)
}

func (s *appServer) session(r *http.Request) *session {
	cookie, err := r.Cookie("session")
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[cookie.Value]
}

// newest is the session that began last.
func (s *appServer) newest() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest
}
