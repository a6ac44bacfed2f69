// SPDX-License-Identifier: Apache-2.0

package groupcommit_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/comity-network/comity/internal/groupcommit"
)

var (
	errSpoilt = errors.New("disk failed")
	errOwn    = errors.New("no")
)

// table is a database with numbers in it, and a writer that counts.
type table struct {
	*groupcommit.Writer
	t            testing.TB
	db           *sql.DB
	transactions int   // Ready is called once for each
	unready      error // what Ready returns
}

func newTable(t testing.TB) *table {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(ON)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // so that a statement outside of the transaction would wait for ever
	if _, err := db.Exec(`CREATE TABLE numbers (n INTEGER PRIMARY KEY, next INTEGER REFERENCES numbers DEFERRABLE INITIALLY DEFERRED)`); err != nil {
		t.Fatal(err)
	}
	b := &table{t: t, db: db}
	b.Writer = groupcommit.New(groupcommit.Config{
		DB:     db,
		Ready:  func() error { b.transactions++; return b.unready },
		Spoils: func(err error) bool { return errors.Is(err, errSpoilt) },
	})
	t.Cleanup(func() {
		if err := errors.Join(b.Writer.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func add(n int) func(*groupcommit.Tx) error {
	return func(tx *groupcommit.Tx) error {
		_, err := tx.Exec(`INSERT INTO numbers (n) VALUES ($1)`, n)
		return err
	}
}

// numbers are those that are stored.
func (b *table) numbers() string {
	b.t.Helper()
	var all string
	if err := b.db.QueryRow(`SELECT COALESCE(GROUP_CONCAT(n, ' '), '') FROM (SELECT n FROM numbers ORDER BY n)`).Scan(&all); err != nil {
		b.t.Fatal(err)
	}
	return all
}

// together calls Write for each of the functions so that they share one
// transaction in this order, and returns their errors. meanwhile, if any, runs
// when all of them wait.
func (b *table) together(ctx []context.Context, meanwhile func(), all ...func(*groupcommit.Tx) error) []error {
	b.t.Helper()
	begun, release := make(chan struct{}), make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		b.Write(context.Background(), func(*groupcommit.Tx) error { close(begun); <-release; return errOwn })
	})
	<-begun
	errs := make([]error, len(all))
	for i, f := range all {
		c := context.Background()
		if ctx != nil {
			c = ctx[i]
		}
		running.Go(func() { errs[i] = b.Write(c, f) })
		b.until(func() bool { return b.Waiting() == i+1 })
	}
	if meanwhile != nil {
		meanwhile()
	}
	b.transactions = 0
	close(release)
	running.Wait()
	return errs
}

func (b *table) until(holds func() bool) {
	b.t.Helper()
	limit := time.After(10 * time.Second)
	for every := time.NewTicker(time.Millisecond); !holds(); {
		select {
		case <-every.C:
		case <-limit:
			b.t.Fatal("it never came true")
		}
	}
}

func (b *table) want(numbers string, transactions int) {
	b.t.Helper()
	if got := b.numbers(); got != numbers || b.transactions != transactions {
		b.t.Errorf("stored %q in %d transactions, expected %q in %d", got, b.transactions, numbers, transactions)
	}
}

func TestOneTransaction(t *testing.T) {
	b := newTable(t)
	errs := b.together(nil, nil, add(1), add(2), add(3))
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	b.want("1 2 3", 1)
}

// Whoever fails leaves nothing, those before and after it stay, and each sees
// what is there before it.
func TestOneFails(t *testing.T) {
	b := newTable(t)
	if err := b.Write(t.Context(), add(1)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time, statements are prepared
		errs := b.together(nil, nil,
			func(tx *groupcommit.Tx) error {
				if _, err := tx.Exec(`DELETE FROM numbers WHERE n = 5`); err != nil {
					return err
				}
				return add(5)(tx)
			},
			func(tx *groupcommit.Tx) error { return errors.Join(add(6)(tx), errOwn) },
			func(tx *groupcommit.Tx) error { return errors.Join(add(7)(tx), add(1)(tx)) },
			func(tx *groupcommit.Tx) error {
				var sum int
				err := tx.QueryRow(`SELECT SUM(n) FROM numbers`).Scan(&sum)
				if sum != 6 {
					err = fmt.Errorf("the sum is %d", sum)
				}
				return err
			})
		if errs[0] != nil || errs[1] == nil || !errors.Is(errs[1], errOwn) || errs[2] == nil || errs[3] != nil {
			t.Errorf("errors %v", errs)
		}
		b.want("1 5", 1)
	}
	b.transactions = 0
	if err := b.Write(t.Context(), func(tx *groupcommit.Tx) error { return errors.Join(add(9)(tx), errOwn) }); !errors.Is(err, errOwn) {
		t.Errorf("alone: %v", err)
	}
	b.want("1 5", 1)
}

// What spoils the transaction is everybody's error, also of those who had no
// turn.
func TestAllFail(t *testing.T) {
	for name, fail := range map[string]func(*groupcommit.Tx) error{
		"spoilt": func(*groupcommit.Tx) error { return errSpoilt },
		"commit fails": func(tx *groupcommit.Tx) error {
			_, err := tx.Exec(`INSERT INTO numbers (n, next) VALUES (3, 99)`)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTable(t)
			for i, err := range b.together(nil, nil, add(1), fail, add(2)) {
				if err == nil {
					t.Errorf("%d: no error", i)
				}
			}
			b.want("", 1)
			if err := b.Write(t.Context(), add(4)); err != nil {
				t.Error(err)
			}
			b.want("4", 2)
		})
	}
}

// A caller who makes the database give up the transaction harms nobody, unless
// it comes among failures: then all are told.
func TestGivesUp(t *testing.T) {
	b := newTable(t)
	giveUp := func(tx *groupcommit.Tx) error {
		_, err := tx.Exec(`INSERT OR ROLLBACK INTO numbers (n) VALUES (1)`)
		return err
	}
	errs := b.together(nil, nil, add(1), giveUp, add(2))
	if errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("errors %v", errs)
	}
	b.want("1 2", 1)
	fail := func(*groupcommit.Tx) error { return errOwn }
	for i, err := range b.together(nil, nil, add(3), fail, giveUp, add(4)) {
		if err == nil {
			t.Errorf("%d: no error", i)
		}
	}
	b.want("1 2", 1)
}

// Each caller is called once, or once more where somebody failed before whom
// nobody had; and not after it failed itself.
func TestCalls(t *testing.T) {
	b := newTable(t)
	var calls [6]int
	count := func(i int, f func(*groupcommit.Tx) error) func(*groupcommit.Tx) error {
		return func(tx *groupcommit.Tx) error { calls[i]++; return f(tx) }
	}
	fail := func(*groupcommit.Tx) error { return errOwn }
	for _, want := range []string{"[2 1 1 1 1 1]", "[1 1 1 1 1 1]"} { // the second group is done carefully at once
		calls = [6]int{}
		errs := b.together(nil, nil, count(0, add(1)), count(1, fail), count(2, add(2)), count(3, fail), count(4, add(3)),
			count(5, func(tx *groupcommit.Tx) error {
				_, err := tx.Exec(`DELETE FROM numbers`)
				return err
			}))
		if errs[0] != nil || errs[1] == nil || errs[2] != nil || errs[3] == nil || errs[4] != nil || errs[5] != nil {
			t.Errorf("errors %v", errs)
		}
		if got := fmt.Sprint(calls); got != want {
			t.Errorf("called %s times, expected %s", got, want)
		}
	}
	b.together(nil, nil, add(1), add(2))
	calls = [6]int{}
	b.together(nil, nil, count(0, add(3)), count(1, fail), count(2, add(4)))
	if got := fmt.Sprint(calls); got != "[2 1 1 0 0 0]" {
		t.Errorf("after a group that went well: called %s times", got)
	}
	b.want("1 2 3 4", 1)
}

func TestNotReady(t *testing.T) {
	b := newTable(t)
	for _, err := range b.together(nil, func() { b.unready = errSpoilt }, add(1), add(2)) {
		if !errors.Is(err, errSpoilt) {
			t.Errorf("error %v", err)
		}
	}
	b.want("", 1)
}

// A context counts until its caller's turn, and not after.
func TestContext(t *testing.T) {
	b := newTable(t)
	var ctx []context.Context
	var cancel []context.CancelFunc
	for range 4 {
		c, f := context.WithCancel(t.Context())
		ctx, cancel = append(ctx, c), append(cancel, f)
	}
	errs := b.together(ctx, func() {
		cancel[1]() // while it waits
		b.until(func() bool { return b.Waiting() == 3 })
	},
		add(1),
		add(2),
		func(tx *groupcommit.Tx) error {
			cancel[2]() // in its turn
			cancel[3]() // in the turn of another
			return add(3)(tx)
		},
		add(4))
	if errs[0] != nil || !errors.Is(errs[1], context.Canceled) || errs[2] != nil || !errors.Is(errs[3], context.Canceled) {
		t.Errorf("errors %v", errs)
	}
	b.want("1 3", 1)
	if err := b.Write(ctx[1], add(5)); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	b.want("1 3", 2)
}

func TestBound(t *testing.T) {
	b := newTable(t)
	all := make([]func(*groupcommit.Tx) error, groupcommit.Most+10)
	for i := range all {
		all[i] = add(i)
	}
	if err := errors.Join(b.together(nil, nil, all...)...); err != nil {
		t.Error(err)
	}
	if n := len(strings.Fields(b.numbers())); n != len(all) || b.transactions != 2 {
		t.Errorf("%d numbers in %d transactions", n, b.transactions)
	}
}

// A panic is the caller's, whoever executes its function.
func TestPanic(t *testing.T) {
	b := newTable(t)
	var panicked any
	begun, release := make(chan struct{}), make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.Write(t.Context(), func(tx *groupcommit.Tx) error { close(begun); <-release; return add(4)(tx) }); err != nil {
			t.Error(err)
		}
	})
	<-begun
	running.Go(func() {
		defer func() { panicked = recover() }()
		b.Write(t.Context(), func(tx *groupcommit.Tx) error { add(5)(tx); panic("ouch") })
	})
	running.Go(func() {
		if err := b.Write(t.Context(), add(6)); err != nil {
			t.Error(err)
		}
	})
	b.until(func() bool { return b.Waiting() == 2 })
	close(release)
	running.Wait()
	if text := fmt.Sprint(panicked); !strings.HasPrefix(text, "ouch\n") || !strings.Contains(text, "writer_test.go") {
		t.Errorf("panic %q", text)
	}
	if got := b.numbers(); got != "4 6" {
		t.Errorf("stored %q", got)
	}
}

// What follows a transaction happens after it, and before anybody returns.
func TestEnded(t *testing.T) {
	b := newTable(t)
	var after string
	errs := b.together(nil, nil,
		add(1),
		func(tx *groupcommit.Tx) error {
			tx.Ended(func() { after = b.numbers() })
			return errOwn
		},
		add(2))
	if errs[0] != nil || !errors.Is(errs[1], errOwn) || errs[2] != nil || after != "1 2" {
		t.Errorf("errors %v, after the transaction %q", errs, after)
	}
}

// Close takes its turn, after a transaction. Statements are prepared again
// where they are needed.
func TestClose(t *testing.T) {
	b := newTable(t)
	begun, release := make(chan struct{}), make(chan struct{})
	var running sync.WaitGroup
	wait := func(f func() error) {
		n := b.Waiting()
		running.Go(func() {
			if err := f(); err != nil {
				t.Error(err)
			}
		})
		b.until(func() bool { return b.Waiting() == n+1 })
	}
	running.Go(func() {
		b.Write(t.Context(), func(tx *groupcommit.Tx) error { close(begun); <-release; return add(1)(tx) })
	})
	<-begun
	wait(func() error { return b.Write(t.Context(), add(2)) })
	wait(b.Close)
	wait(func() error { return b.Write(t.Context(), add(3)) })
	close(release)
	running.Wait()
	b.want("1 2 3", 2)
}

// BenchmarkWrite is one durable insert, by one and by many at once.
func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			w := newTable(b)
			var running sync.WaitGroup
			next := make(chan int)
			for range writers {
				running.Go(func() {
					for n := range next {
						if err := w.Write(b.Context(), add(n)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			b.ResetTimer()
			for n := range b.N {
				next <- n
			}
			close(next)
			running.Wait()
			b.ReportMetric(float64(b.N)/float64(w.transactions), "writes/commit")
		})
	}
}
