// SPDX-License-Identifier: Apache-2.0

package groupcommit

// Most is how many callers share a transaction at most.
const Most = most
