// SPDX-License-Identifier: Apache-2.0

package site

import (
	"crypto/rand"
	"crypto/subtle"
	"html/template"
	"net/http"
	"strings"
	"sync"
)

// logins are the users of the site and their sessions.
type logins struct {
	users map[string]string // passwords by name

	mu       sync.Mutex
	sessions map[string]string // names by cookie
}

// sessionCookie is the name of the cookie of a user who is logged in.
const sessionCookie = "notebook_session"

// user implements the SDK's question: who is logged in?
func (l *logins) user(r *http.Request) (string, bool) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return "", false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	name, ok := l.sessions[cookie.Value]
	return name, ok
}

var loginPage = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en"><title>Log in</title>
<h1>Log in</h1>
{{with .Problem}}<p>{{.}}</p>{{end}}
<form method="post" action="/login">
<input type="hidden" name="return_to" value="{{.ReturnTo}}">
<label>Name <input name="name" autocomplete="username"></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label>
<button>Log in</button>
</form>
</html>
`))

func (l *logins) ask(w http.ResponseWriter, r *http.Request) { l.show(w, r, http.StatusOK, "") }

func (l *logins) show(w http.ResponseWriter, r *http.Request, status int, problem string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	loginPage.Execute(w, struct{ ReturnTo, Problem string }{r.FormValue("return_to"), problem})
}

func (l *logins) check(w http.ResponseWriter, r *http.Request) {
	name := r.PostFormValue("name")
	password, ok := l.users[name]
	if !ok || subtle.ConstantTimeCompare([]byte(password), []byte(r.PostFormValue("password"))) != 1 {
		l.show(w, r, http.StatusForbidden, "That is not right.")
		return
	}
	cookie := &http.Cookie{Name: sessionCookie, Value: rand.Text(), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	l.mu.Lock()
	if l.sessions == nil {
		l.sessions = map[string]string{}
	}
	l.sessions[cookie.Value] = name
	l.mu.Unlock()
	http.SetCookie(w, cookie)
	// Only a path of this origin: anything else would be an open redirect.
	to := r.PostFormValue("return_to")
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.Contains(to, `\`) {
		to = "/"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}
