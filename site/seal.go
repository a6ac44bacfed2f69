// SPDX-License-Identifier: Apache-2.0

package site

// Purposes of sealed values, so that none is ever taken for another.
const (
	sealResume  = "resume"  // an authorization request, while its user logs in
	sealConsent = "consent" // the form of the consent page
	sealEnd     = "end"     // the form that ends a grant
	sealNonce   = "nonce"   // a DPoP nonce
)
