// SPDX-License-Identifier: Apache-2.0

// Package testnet plays the whole network with real parts: nodes as child
// processes of the one binary, sites built with the SDK, and an app and a
// browser written by hand, all over loopback. Its parts are
//
//	process  starts, kills and commands nodes
//	proxy    cuts, silences and loses connections
//	site     a site whose answers to a broker can be broken on command
//	app      an OAuth client and its user's browser
//	oldsite  a WordPress site of 2016, with OAuth 1.0a, that can misbehave
//	demo     the story that `comity demo` tells
//	interop  programs that we did not write, and the pages in Chromium
//
// and its tests are what happens to them: logins, stops, kills between any two
// steps, failing disks. After each test, what the processes wrote and what
// their databases hold is searched for every token, code and secret that the
// apps of the test have seen (fault 84).
//
// RECORD.md lists the bugs that were found here, each with the command that
// shows it.
package testnet
