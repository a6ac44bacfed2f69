// SPDX-License-Identifier: Apache-2.0

package site

import (
	"fmt"
	"net/http"

	sdk "github.com/comity-network/comity/site"
)

// notes is the API: it says whose notes it shows to whom.
func notes(w http.ResponseWriter, r *http.Request) {
	access, _ := sdk.AccessFrom(r.Context())
	user := access.UserID
	switch {
	case access.Subject != "":
		user = access.Subject + " of " + access.Broker
	case user == "":
		user = "nobody in particular"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "here are the notes of %s, client %s\n", user, access.ClientID)
}
