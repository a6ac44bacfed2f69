// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"slices"
	"strings"
)

// CheckRedirectURI reports whether a client may register uri. It must be in
// canonical form, without fragment and user info, and be one of
//
//	https://app.example/callback?tenant=7
//	http://127.0.0.1/callback     or http://[::1]:8765/callback (RFC 8252 section 7.3)
//	com.example.app:/callback     native clients only (RFC 8252 section 7.1)
func CheckRedirectURI(uri string, native bool) error {
	u, err := readURI(uri)
	if err != nil {
		return err
	}
	switch {
	case u.scheme == "https" && !u.opaque, u.scheme == "http" && !u.opaque && u.loopback():
		u.path = cmp.Or(u.path, "/") // as browsers send it
	case u.scheme == "http":
		return badURI(uri, "plain http is for http://127.0.0.1 and http://[::1] only: use https")
	case !isReverseDomain(u.scheme):
		return badURI(uri, "its scheme is neither https nor a reverse domain name such as com.example.app")
	case !native:
		return badURI(uri, "a scheme of its own is for native clients: use https, or application_type native")
	}
	return u.checkCanonical(uri)
}

// RedirectOwner returns what names the owner of a checked redirect URI: its host
// in lower case, or a scheme of its own. It is empty for a loopback address,
// which belongs to whoever sits before it.
func RedirectOwner(uri string) string {
	u, err := readURI(uri)
	switch {
	case err != nil || u.loopback():
		return ""
	case u.scheme == "https":
		return u.host
	}
	return u.scheme + ":"
}

func isReverseDomain(scheme string) bool {
	labels := strings.Split(scheme, ".")
	return len(labels) >= 2 && !slices.ContainsFunc(labels, func(l string) bool { return !isLabel(l) })
}

// Native reports whether the client runs on its user's device.
func (m *ClientMetadata) Native() bool { return m.ApplicationType == "native" }

// AllowsRedirect reports whether uri is one of the client's redirect URIs,
// compared character by character. The port alone may differ, where a native
// client has registered a loopback address (RFC 8252 section 7.3).
func (m *ClientMetadata) AllowsRedirect(uri string) bool {
	if slices.Contains(m.RedirectURIs, uri) {
		return CheckRedirectURI(uri, m.Native()) == nil
	}
	if !m.Native() {
		return false
	}
	asked, ok := anyPort(uri)
	return ok && slices.ContainsFunc(m.RedirectURIs, func(registered string) bool {
		known, ok := anyPort(registered)
		return ok && asked == known
	})
}

// anyPort returns a loopback redirect URI without its port.
func anyPort(s string) (uri, bool) {
	u, err := parseURI(s)
	if err != nil || u.scheme != "http" || u.opaque || !u.loopback() || u.path == "" {
		return uri{}, false
	}
	u.port = ""
	return u, true
}

// CheckIssuer reports whether issuer can name a broker (RFC 8414 section 2): an
// https URL in canonical form, without query, fragment, user info and trailing
// slash; or an http URL on a literal loopback address, for development.
func CheckIssuer(issuer string) error {
	u, err := parseURI(issuer)
	if err != nil {
		return relabel(err, "issuer")
	}
	why := ""
	switch {
	case u.opaque || u.scheme != "https" && u.scheme != "http":
		why = "an issuer starts with https://"
	case u.scheme == "http" && !u.loopback():
		why = "plain http is for 127.0.0.1 and [::1] only: use https"
	case u.query != "":
		why = "an issuer has no query: leave out ? and what follows"
	case strings.HasSuffix(u.path, "/"):
		why = "an issuer does not end in a slash: leave it out"
	}
	if why != "" {
		return wrong(classValue, "issuer", "issuer %.200q cannot be used: %s", issuer, why)
	}
	return nil
}

// checkLink wants a page or picture that people may be shown: https only.
func checkLink(member, link string) error {
	u, err := parseURI(link)
	if err != nil {
		return relabel(err, member)
	}
	if u.scheme != "https" || u.opaque {
		return wrong(classValue, member, "%s is %.200q: only https links are shown to people", member, link)
	}
	return nil
}
