// SPDX-License-Identifier: Apache-2.0

package saml

import "time"

const (
	// maxBytes bounds the parameter, base64url. Assertions with many groups
	// have some 20 KiB.
	maxBytes = 64 << 10
	// maxDepth bounds elements within elements. The deepest that is read is 6,
	// the deepest that identity providers put into attributes about as much.
	maxDepth = 16
	// maxElements and maxAttributes (of one element, with its namespace
	// declarations) bound the work of canonicalisation, which grows with their
	// product.
	maxElements   = 1000
	maxAttributes = 16
	// maxName bounds entityID (SAML 2.0 metadata, section 2.2.1), and
	// maxSubject NameID and ID, in bytes.
	maxName    = 1024
	maxSubject = 256
	// maxMetadata bounds a metadata file, and maxCertificates the certificates
	// for signing of one identity provider: a rollover needs two.
	maxMetadata     = 1 << 20
	maxCertificates = 8
	// minRSABits is what NIST SP 800-131A asks for.
	minRSABits = 2048

	// skew is how far the clock of an identity provider may be off. It does not
	// prolong NotOnOrAfter of the SubjectConfirmation.
	skew = 60 * time.Second
	// maxLife is how far ahead that NotOnOrAfter may be, so that nobody must
	// remember an ID for years. Products set it to 5 to 75 minutes.
	maxLife = 2 * time.Hour
)
