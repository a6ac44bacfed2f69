// SPDX-License-Identifier: Apache-2.0

package brokered

import "time"

// Every bound of the package, with its reason.
const (
	// total is how long a client's request is held open. What the protocol
	// says; a public server writes answers for 30 s.
	total = 25 * time.Second
	// requestTime is how long a site may hold our connection request open:
	// what is left of total has to do for discovery and the answer.
	requestTime = 20 * time.Second
	// confirmTime is how long a confirm may take from its arrival to the last
	// byte of our answer. The original plugin gives up after 5 s without a
	// word; a network of its own is in between.
	confirmTime = time.Second
	// storeTime is what a site gets to store what it has confirmed, if it has
	// accepted the request before and so says nothing more.
	storeTime = 500 * time.Millisecond
	// memberTime is how long one member may take, so that a silent one leaves
	// time for another.
	memberTime = 12 * time.Second
	// cachedFor is how long a discovery counts.
	cachedFor = 24 * time.Hour
	// unknownFor is how long a site that does not know this broker is not
	// asked again for other members.
	unknownFor = 10 * time.Minute

	// maxConnectBytes bounds the body of a connect: two URLs fit many times.
	maxConnectBytes = 16 << 10
	// maxConfirmBytes bounds the body of a confirm: four members of at most
	// 255 characters.
	maxConfirmBytes = 4 << 10
	// maxIndexBytes bounds an API index. Sites that do not know _fields send
	// all of it, up to 196 KB.
	maxIndexBytes = 256 << 10
	maxIndexItems = 100_000 // JSON values in it
	// maxAnswerBytes is what is read of a site's answer to a connection request.
	maxAnswerBytes = 4 << 10
	// maxURLBytes bounds every URL, as in records.
	maxURLBytes = 2048
	// maxCredentialBytes bounds token and secret, as the protocol does.
	maxCredentialBytes = 255
	// maxTextRunes is where name and description of a site are cut.
	maxTextRunes = 500
	// maxNameRunes is where the name is cut that the store keeps.
	maxNameRunes = 80
	// maxNamespaces and maxNamespaceBytes bound the namespaces of a site.
	maxNamespaces, maxNamespaceBytes = 256, 128
	// maxAuthenticationBytes bounds the authentication member of an index: a
	// handful of URLs.
	maxAuthenticationBytes = 8 << 10
	// maxRedirects bounds the redirects of a discovery.
	maxRedirects = 5
	// maxMessageRunes and maxDataBytes bound an error of a site.
	maxMessageRunes, maxDataBytes = 500, 1 << 10

	// maxRequestBytes and maxReplyBytes bound what members say to each other.
	maxRequestBytes, maxReplyBytes = 8 << 10, 16 << 10
	// maxAsked is how many members are asked for one connect.
	maxAsked = 16

	// verifierBytes are random bytes of a verifier, in hexadecimal.
	verifierBytes = 24

	maxSites    = 1000   // discoveries in memory, 2 KiB each usually, 50 KiB at most
	maxUnknown  = 10_000 // sites that do not know this broker, in memory
	maxLimited  = 10_000 // buckets of each rate limit
	retryAfter  = 5      // seconds: when a place may have become free
	staleAfter  = 30     // seconds: when views have come
	maxOfClient = 8      // connects of one client at a time
	maxOfHome   = 128    // of the clients of one home
	maxOfOthers = 512    // of the clients of all other members
	// A site has a handful of workers, and each connect holds one of them:
	// eight delayed an ordinary page of it by 3.6 s.
	maxAtSite, maxForSite = 2, 8 // at a time, and waiting
	// Connects of one client at one site take turns, or the site makes several
	// sets of credentials.
	maxTurns = 3 // waiting
)
