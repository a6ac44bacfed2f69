// SPDX-License-Identifier: Apache-2.0

package registry

import "errors"

// Errors that callers tell apart. What they wrap says what is wrong.
var (
	ErrNotFound = errors.New("not found")
	ErrRevoked  = errors.New("revoked")
	ErrConflict = errors.New("conflict")
	ErrStale    = errors.New("stale")
	ErrFork     = errors.New("fork")
	ErrLimit    = errors.New("over a limit")
	// ErrForm: the bytes are not a record of the expected kind in the one
	// accepted form.
	ErrForm = errors.New("malformed")
	// ErrSignature: the form is right, the signature or its key is not.
	ErrSignature = errors.New("signature does not verify")
)
