// SPDX-License-Identifier: Apache-2.0

package login

import (
	"errors"
	"net/http"

	"github.com/comity-network/comity/internal/webpage"
	"github.com/comity-network/comity/node/oauth"
)

// deviceData is what the page for user codes shows.
type deviceData struct {
	frame
	Code  string
	Wrong string
}

// showDevice asks for the code that a device shows (RFC 8628, section 3.3). A
// code that came with the link is shown and must be confirmed, so that nobody
// allows something by following a link.
func (p *Pages) showDevice(w http.ResponseWriter, r *http.Request) {
	form, err := webpage.ParseForm(r.URL.RawQuery, 1024)
	if err != nil {
		p.errorPage(w, http.StatusBadRequest, "The link is malformed: "+err.Error()+".")
		return
	}
	p.devicePage(w, http.StatusOK, deviceData{Code: form.Get("user_code")})
}

// device takes the code.
func (p *Pages) device(w http.ResponseWriter, r *http.Request) {
	posted, ok := p.form(w, r)
	if !ok {
		return
	}
	q, err := p.Broker().Device(r, posted.Get("user_code"))
	if failure := (*oauth.Failure)(nil); errors.As(err, &failure) {
		p.devicePage(w, failure.Status, deviceData{Code: posted.Get("user_code"), Wrong: sentence(failure.Description)})
		return
	}
	if err != nil {
		p.failed(w, "look up a device", err)
		return
	}
	p.Ask(w, r, q)
}

func (p *Pages) devicePage(w http.ResponseWriter, status int, data deviceData) {
	webpage.Headers(w, "")
	data.frame = p.frame("Connect a device")
	p.render(w, status, "device.html", data)
}

// decidedPage is where it ends when the app is on another device.
func (p *Pages) decidedPage(w http.ResponseWriter, a oauth.Answer) {
	webpage.Headers(w, "")
	p.render(w, http.StatusOK, "decided.html", struct {
		frame
		Allowed bool
	}{p.frame("Connect a device"), a.Error == ""})
}
