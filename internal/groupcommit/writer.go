// SPDX-License-Identifier: Apache-2.0

// Package groupcommit writes to an SQL database for many callers. The wait for
// the disk at the end of a transaction takes longer than most of what is
// written, so those who come while one transaction is under way share the next:
//
//	BEGIN
//	  the writes of the first caller
//	  the writes of the second
//	COMMIT            one wait for the disk, and then all of them return
//
// When one of them fails, all is rolled back and done again without it, and from
// there on more carefully, until a group goes well:
//
//	BEGIN
//	  SAVEPOINT one   the writes of the first caller   RELEASE one
//	  SAVEPOINT one   the writes of the third          RELEASE one, or ROLLBACK TO one if they failed
//	COMMIT
//
// since savepoints cost as much as a small write, and few fail.
//
// What it promises: callers are executed one after the other, each sees what
// those before it have written, and a caller that fails leaves nothing and
// harms nobody else. Nobody returns before the transaction has ended; when it
// fails as a whole, everybody in it is told so. A caller whose context ends
// before its turn is not executed; from its turn on its context does not
// matter, since an interrupted statement would take the others with it. Nobody
// waits for a group to fill, and a caller who is alone has the plain
// transaction, without a savepoint. There is no goroutine: one of the callers
// does the work (internal/group).
//
// It trusts the functions of its callers to end, to use nothing but the
// transaction for what they write, and to do the same when they are called a
// second time, in another transaction: the first call has then left nothing.
package groupcommit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/comity-network/comity/internal/group"
)

// most is how many callers share a transaction at most.
const most = 64

// Config of a Writer. DB is needed.
type Config struct {
	// DB begins the transactions, one at a time.
	DB *sql.DB
	// Ready is asked before each transaction; its error is everybody's.
	Ready func() error
	// Spoils reports whether an error of a caller, or of the database, means
	// that nothing of the transaction may be kept. It is called before
	// anybody is told of the error, and before the next transaction.
	Spoils func(error) bool
}

// Writer writes to one database. It is safe for concurrent use.
type Writer struct {
	cfg        Config
	statements map[string]*sql.Stmt // by their text; only who leads uses it
	careful    bool                 // somebody failed in the last group; likewise
	line       *group.Line[*call]
}

// call is one caller of Write, or of Close, which has nothing to write.
type call struct {
	ctx   context.Context
	write func(*Tx) error
	err   error
	panic any
}

// New returns a writer. Close frees what it has prepared.
func New(cfg Config) *Writer {
	if cfg.Ready == nil {
		cfg.Ready = func() error { return nil }
	}
	if cfg.Spoils == nil {
		cfg.Spoils = func(error) bool { return false }
	}
	return &Writer{cfg: cfg, statements: map[string]*sql.Stmt{}, line: group.NewLine[*call](1, most)}
}

// Close waits for the transaction that is under way and frees prepared
// statements; a later Write prepares them again. It does not close the
// database.
func (w *Writer) Close() error {
	c := &call{}
	w.line.Join(context.Background(), c, w.serve)
	return c.err
}

// Write runs f in a transaction. When it returns nil, what f wrote is committed;
// else nothing of it is kept.
func (w *Writer) Write(ctx context.Context, f func(*Tx) error) error {
	c := &call{ctx: ctx, write: f}
	if err := w.line.Join(ctx, c, w.serve); err != nil {
		return err
	}
	if c.panic != nil {
		panic(c.panic)
	}
	return c.err
}

// Waiting counts the callers who wait for the next transactions.
func (w *Writer) Waiting() int { return w.line.Waiting() }

// serve executes those who write, and sets the outcome of each.
func (w *Writer) serve(all []*call) {
	writing := slices.DeleteFunc(slices.Clone(all), func(c *call) bool { return c.write == nil })
	if len(writing) > 0 {
		w.commit(writing)
	}
	for _, c := range all {
		if c.write == nil {
			c.err = w.free()
		}
	}
}

// free closes prepared statements.
func (w *Writer) free() error {
	var errs []error
	for _, statement := range w.statements {
		errs = append(errs, statement.Close())
	}
	clear(w.statements)
	return errors.Join(errs...)
}

// commit executes a group and sets the outcome of each.
func (w *Writer) commit(group []*call) {
	t := &Tx{writer: w}
	err := w.execute(t, group)
	t.keep()
	for _, f := range t.ended {
		f()
	}
	if err == nil {
		return
	}
	w.cfg.Spoils(err)
	for _, c := range group {
		c.err = err
	}
}

// execute returns an error when the transaction failed as a whole.
func (w *Writer) execute(t *Tx, group []*call) error {
	if err := w.cfg.Ready(); err != nil {
		return err
	}
	if len(group) == 1 { // all is rolled back when it fails
		_, err := w.attempt(t, group, false)
		return err
	}
	careful := w.careful
	w.careful = false
	again, err := w.attempt(t, group, careful)
	if again {
		_, err = w.attempt(t, group, true)
	}
	return err
}

// attempt executes those of a group who have not failed yet, and commits; or
// says that it must be done again since one has failed who cannot be taken out.
func (w *Writer) attempt(t *Tx, group []*call, savepoints bool) (again bool, err error) {
	if t.tx, err = w.cfg.DB.BeginTx(context.Background(), nil); err != nil {
		return false, err
	}
	t.fresh, t.statements = nil, map[string]*sql.Stmt{}
	defer t.tx.Rollback()
	succeeded := false
	for _, c := range group {
		if c.err != nil {
			continue
		}
		if c.err = c.ctx.Err(); c.err != nil {
			continue
		}
		if err := t.run(c, savepoints); err != nil {
			return false, err
		}
		if c.err == nil {
			succeeded = true
			continue
		}
		if len(group) == 1 {
			return false, nil
		}
		w.careful = true
		if !savepoints {
			return true, nil
		}
	}
	if !succeeded {
		return false, nil
	}
	return false, t.tx.Commit()
}

// run executes one caller. The error that it returns is that of all.
func (t *Tx) run(c *call, savepoint bool) error {
	if savepoint {
		if _, err := t.Exec(`SAVEPOINT one`); err != nil {
			return err
		}
	}
	c.err = t.call(c)
	if c.err != nil && t.writer.cfg.Spoils(c.err) {
		return c.err
	}
	if !savepoint {
		return nil // all is rolled back when it failed
	}
	if c.err != nil {
		// Where the database has given up the whole transaction, there is no
		// savepoint any more, and this fails.
		if _, err := t.Exec(`ROLLBACK TO SAVEPOINT one`); err != nil {
			return fmt.Errorf("%w (after: %w)", err, c.err)
		}
	}
	_, err := t.Exec(`RELEASE SAVEPOINT one`)
	return err
}

// errPanic is the outcome of a function that panics. Its caller panics, and
// not the one that leads.
var errPanic = errors.New("panic in a transaction")

func (t *Tx) call(c *call) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.panic, err = fmt.Sprintf("%v\n%s", p, debug.Stack()), errPanic
		}
	}()
	return c.write(t)
}
