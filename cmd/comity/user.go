// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/comity-network/comity/node/admin"
)

type userCmd struct {
	Add     userAddCmd     `cmd:"" help:"Make an account for a person."`
	List    userListCmd    `cmd:"" help:"List the accounts."`
	Passwd  userPasswdCmd  `cmd:"" help:"Give a person a new password; all sessions end."`
	Disable userDisableCmd `cmd:"" help:"Refuse a person's logins; all sessions end."`
	Enable  userEnableCmd  `cmd:"" help:"End a disable."`
	Remove  userRemoveCmd  `cmd:"" help:"Delete an account and everything that is stored of it."`
}

// passwordFlags say where a new password comes from.
type passwordFlags struct {
	PasswordStdin bool `name:"password-stdin" help:"Read the password from standard input, one line, without asking. Default: it is asked for twice on the terminal and not shown."`
}

type userAddCmd struct {
	Name          string `arg:"" help:"The login name: a-z, 0-9 and . _ - + @, up to 64; capitals are the same as small letters."`
	DisplayName   string `name:"display-name" placeholder:"N" help:"The name as people read it. Default: the login name."`
	passwordFlags `embed:""`
}

func (userAddCmd) Help() string {
	return `Accounts are for the people of the organisation that runs this broker, and stay on it: no other broker, no site and no log learns of them. Whoever logs in at a site needs none.

  comity user add alice --display-name "Alice Doe"
  pwgen -s 20 1 | tee /dev/tty | comity user add alice --password-stdin

A password has 8 to 1024 bytes, and is none of those that everybody tries first. Only its Argon2id hash is stored.`
}

func (c userAddCmd) Run(e *environment) error {
	password, err := e.newPassword(c.PasswordStdin, c.Name)
	if err != nil {
		return err
	}
	return e.user("/user/add", admin.UserDraft{Name: c.Name, DisplayName: c.DisplayName, Password: password})
}

type userPasswdCmd struct {
	Name          string `arg:"" help:"The login name."`
	passwordFlags `embed:""`
}

func (userPasswdCmd) Help() string {
	return `The person is logged out everywhere. Apps that were allowed something keep it: to end that too, disable or remove the account.

  comity user passwd alice`
}

func (c userPasswdCmd) Run(e *environment) error {
	password, err := e.newPassword(c.PasswordStdin, c.Name)
	if err != nil {
		return err
	}
	return e.user("/user/passwd", admin.UserPassword{Name: c.Name, Password: password})
}

// userArg names the account of a command.
type userArg struct {
	Name string `arg:"" help:"The login name."`
}

type userDisableCmd struct{ userArg }

func (c userDisableCmd) Run(e *environment) error {
	return e.user("/user/disable", admin.UserName{Name: c.Name})
}

type userEnableCmd struct{ userArg }

func (c userEnableCmd) Run(e *environment) error {
	return e.user("/user/enable", admin.UserName{Name: c.Name})
}

type userRemoveCmd struct {
	userArg
	Yes bool `help:"Do not ask for the name."`
}

func (userRemoveCmd) Help() string {
	return `What the person has allowed apps ends with it. Apps will never know the same person again, even if an account of that name is made later. To keep that open: comity user disable.

  comity user remove alice`
}

func (c userRemoveCmd) Run(e *environment) error {
	if !c.Yes {
		question := fmt.Sprintf("This deletes the account %s, and every app forgets this person for good.", c.Name)
		if err := e.typed(question, "its name", c.Name, "removed"); err != nil {
			return err
		}
	}
	return e.user("/user/remove", admin.UserName{Name: c.Name})
}

// user performs an operation on one account and shows it.
func (e *environment) user(path string, in any) error {
	var u admin.User
	if err := e.node().Call(e.ctx, path, in, &u); err != nil {
		return err
	}
	return e.print(u, func(w io.Writer) {
		row(w, "name", u.Name)
		row(w, "display name", u.DisplayName)
		row(w, "state", u.State)
		row(w, "id", u.ID)
		row(w, "created", when(u.CreatedAt))
		row(w, "password set", when(u.PasswordAt))
		row(w, "last login", orDash(when(u.LastLogin)))
	})
}

type userListCmd struct {
	After string `placeholder:"NAME" help:"Begin after this name (the list comes in pages)."`
	Limit int    `default:"100" help:"Accounts on a page, at most 1000."`
}

func (c userListCmd) Run(e *environment) error {
	var list admin.UserList
	if err := e.node().Call(e.ctx, "/user/list", admin.Page{After: c.After, Limit: c.Limit}, &list); err != nil {
		return err
	}
	return e.print(list, func(w io.Writer) {
		if len(list.Users) == 0 {
			fmt.Fprintln(w, "no account: comity user add --help")
			return
		}
		fmt.Fprintln(w, "NAME\tSTATE\tLAST LOGIN\tDISPLAY NAME")
		for _, u := range list.Users {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.Name, u.State, orDash(when(u.LastLogin)), u.DisplayName)
		}
		if list.Next != "" {
			fmt.Fprintf(w, "more: comity user list --after %s\n", list.Next)
		}
	})
}
