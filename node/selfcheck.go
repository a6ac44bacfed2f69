// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// selfCheckTimeout bounds how long a start waits for its own issuer URL.
const selfCheckTimeout = 3 * time.Second

// maxSelfRecord is more than a broker record needs.
const maxSelfRecord = 32 << 10

// checkIssuer fetches this broker's record through its issuer URL, as sites
// and other brokers will. Another answer than our own record means that the
// URL leads somewhere else, and a certificate that does not fit means that
// nobody would trust us: both refuse the start (fault 78). A URL that does not
// answer yet, because a proxy in front comes later, only warns.
func (n *Node) checkIssuer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, selfCheckTimeout)
	defer cancel()
	url := n.cfg.Issuer + "/federation/brokers/" + n.keys.record.ID()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{
		Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		if wrongCertificate(err) {
			return fmt.Errorf("the issuer %s answers with a certificate that does not fit (%w): give --tls-cert a chain for that name", n.cfg.Issuer, err)
		}
		n.log.Warn("the issuer URL does not answer yet; sites cannot reach this broker until it does", "issuer", n.cfg.Issuer, "error", err)
		return nil
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxSelfRecord))
	if err != nil {
		n.log.Warn("the issuer URL breaks off its answer", "issuer", n.cfg.Issuer, "error", err)
		return nil
	}
	own, err := n.replica.BrokerRecord(ctx, n.keys.record.ID())
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || string(body) != own.Raw {
		return fmt.Errorf("the issuer %s leads to something else than this node (status %d, not our broker record): point its DNS name or proxy here, or name the right --issuer", n.cfg.Issuer, res.StatusCode)
	}
	return nil
}

// wrongCertificate tells a certificate that will never do from a server that
// is not there yet.
func wrongCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &name) || errors.As(err, &authority) || errors.As(err, &invalid)
}
