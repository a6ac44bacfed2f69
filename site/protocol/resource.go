// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"

	"github.com/comity-network/comity/registry"
)

// wellKnown is the segment of RFC 9728, section 3.
const wellKnown = "/.well-known/oauth-protected-resource"

// CheckResource checks the identifier of a site (RFC 9728, section 1.2; RFC
// 8707): an https URL with a host in lower case and perhaps a path, in the one
// spelling that a URL parser would also write: no user info, query, fragment,
// default port, dot segment or slash at the end. For development http is
// accepted when the host is localhost or a loopback or private address.
func CheckResource(resource string) error {
	u, err := parseEndpoint(resource)
	switch {
	case err != nil:
		return fmt.Errorf("resource: %w", err)
	case u.RawQuery != "" || u.ForceQuery:
		return errors.New("resource: has a query")
	case strings.HasSuffix(u.Path, "/"):
		return errors.New("resource: write it without the slash at the end")
	}
	return nil
}

// checkEndpoint checks an absolute URL that a broker or a browser will visit.
func checkEndpoint(s string) error {
	_, err := parseEndpoint(s)
	return err
}

func parseEndpoint(s string) (*url.URL, error) {
	if err := checkURI("URL", s); err != nil {
		return nil, err
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	switch {
	case u.Scheme != "https" && !(u.Scheme == "http" && isLocal(u.Hostname())):
		return nil, errors.New("not an https URL")
	case u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("has user info")
	case u.Fragment != "":
		return nil, errors.New("has a fragment")
	case u.Host != strings.ToLower(u.Host) || !isHost(u):
		return nil, errors.New("its host is not in the plain lower-case spelling")
	case u.Path != "" && u.Path != path.Clean(u.Path)+trailingSlash(u.Path):
		return nil, errors.New("its path has empty or dot segments")
	case u.String() != s:
		return nil, errors.New("not in the usual spelling")
	}
	return u, nil
}

func trailingSlash(p string) string {
	if len(p) > 1 && strings.HasSuffix(p, "/") {
		return "/"
	}
	return ""
}

// isHost reports whether host and port have one spelling only.
func isHost(u *url.URL) bool {
	port := u.Port()
	if strings.HasSuffix(u.Host, ":") || strings.HasPrefix(port, "0") ||
		u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		return false
	}
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		addr, err := netip.ParseAddr(host)
		return err == nil && addr.Zone() == "" && addr.String() == host
	}
	return strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" && !strings.HasSuffix(host, ".")
}

// isLocal reports whether host names this machine or a private network.
func isLocal(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback() || addr.IsPrivate()
	}
	return host == "localhost"
}

func checkIssuer(issuer string) error {
	if err := registry.CheckIssuer(issuer); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	return nil
}

// Origin is scheme and host of a URL that CheckResource accepts.
func Origin(resource string) string {
	u, err := url.Parse(resource)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// MetadataURL is where the site publishes its metadata: the well-known segment
// stands between host and path (RFC 9728, section 3.1).
func MetadataURL(resource string) (string, error) {
	if err := CheckResource(resource); err != nil {
		return "", err
	}
	origin := Origin(resource)
	return origin + wellKnown + strings.TrimPrefix(resource, origin), nil
}
