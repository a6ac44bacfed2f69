// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"database/sql"
	"testing"
)

// siteDatabase is a site as its disk knows it.
type siteDatabase struct {
	resource string
	db       *sql.DB
}

// openDatabase opens an SQLite file beside its owner.
func openDatabase(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=query_only(true)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// pairs runs a query for two columns of text.
func (w *world) pairs(db *sql.DB, query string, args ...any) map[string]string {
	w.Helper()
	rows, err := db.QueryContext(w.ctx, query, args...)
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			w.Fatal(err)
		}
		all[key] = value
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
	return all
}

// agree compares what the databases of broker and site say of each token. A
// token that the broker released is one that the site accepts; one that is
// dead at the broker is dead at the site, or the site never stored it; nothing
// is pending; and the site holds no token that the broker does not know.
// fault 38
func (w *world) agree(s siteDatabase) (released int) {
	w.Helper()
	broker := openDatabase(w, w.broker.Database())
	atBroker := w.pairs(broker, `SELECT substr(key, 14), state FROM tokens WHERE site = $1`, s.resource)
	atSite := w.pairs(s.db, `SELECT hash, CASE WHEN revoked_at <> 0 OR client_id = '' THEN 'dead' ELSE 'live' END FROM comity_tokens`)
	for hash, state := range atBroker {
		switch seen := atSite[hash]; {
		case state == "pending":
			w.Errorf("token %s is pending at the broker; the site says %q", hash, seen)
		case state == "released" && seen != "live":
			w.Errorf("token %s was released and the site says %q", hash, seen)
		case state != "released" && seen == "live":
			w.Errorf("token %s is %s at the broker and the site accepts it", hash, state)
		}
		if state == "released" {
			released++
		}
	}
	for hash, state := range atSite {
		if _, ok := atBroker[hash]; !ok && state == "live" {
			w.Errorf("the site accepts token %s, of which the broker knows nothing", hash)
		}
	}
	return released
}

// awaitEmptyOutbox waits until the broker has delivered every event.
func (w *world) awaitEmptyOutbox() {
	w.Helper()
	w.until("every event is delivered", func() bool {
		var status struct {
			Outbox int `json:"outbox_depth"`
		}
		if err := w.broker.JSON(w.ctx, &status, "status"); err != nil {
			w.Fatal(err)
		}
		return status.Outbox == 0
	})
}

func openWritable(path string) (*sql.DB, error) { return sql.Open("sqlite", "file:"+path) }
