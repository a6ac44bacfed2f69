// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"html/template"
	"net/http"
	"strconv"
)

// errorPage is what people see when the browser cannot be sent anywhere. It
// has no script and no link, and loads nothing but the style sheet.
var errorPage = template.Must(template.New("error").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>This app cannot be connected</title>
<link rel="stylesheet" href="{{.Prefix}}/oauth/style.css">
</head>
<body>
<main>
<p class="site">{{.Issuer}}</p>
<h1>This app cannot be connected</h1>
<p role="alert">{{.Description}}</p>
<p class="small">Nothing was shared with the app. You can close this page. If you make this app: the error is {{.Code}}, and the broker's log has the request as {{.Request}}.</p>
</main>
</body>
</html>
`))

// writePage shows an error to a person.
func (s *Server) writePage(w http.ResponseWriter, f *Failure, id string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	if f.allow != "" {
		h.Set("Allow", f.allow)
	}
	w.WriteHeader(f.Status)
	page := struct{ Code, Description, Request, Issuer, Prefix string }{f.Code, f.Description, id, s.cfg.Issuer, s.paths.prefix}
	if err := errorPage.Execute(w, page); err != nil {
		s.log.Debug("the error page was not sent", "request", id, "error", err)
	}
}
