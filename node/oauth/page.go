// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"html/template"
	"net/http"
	"strconv"
)

// errorPage is what people see when the browser cannot be sent anywhere. It
// has no script, no style and no link.
var errorPage = template.Must(template.New("error").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>The app cannot be connected</title></head>
<body>
<h1>The app cannot be connected</h1>
<p>{{.Description}}</p>
<p>Error: {{.Code}}. Request: {{.Request}}. Broker: {{.Issuer}}.</p>
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
	page := struct{ Code, Description, Request, Issuer string }{f.Code, f.Description, id, s.cfg.Issuer}
	if err := errorPage.Execute(w, page); err != nil {
		s.log.Debug("the error page was not sent", "request", id, "error", err)
	}
}
