// SPDX-License-Identifier: Apache-2.0

package admin

// UserDraft is an account to be made for a person.
type UserDraft struct {
	Name        string `json:"name"`
	DisplayName string `json:"display_name,omitempty"` // default: the name
	Password    string `json:"password"`
}

// UserPassword is a new password for an account.
type UserPassword struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// UserName names one account.
type UserName struct {
	Name string `json:"name"`
}

// User is an account as the operator sees it. Times are seconds since 1970.
type User struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	DisplayName string `json:"display_name"`
	State       string `json:"state"` // active, disabled or removed
	CreatedAt   int64  `json:"created_at"`
	PasswordAt  int64  `json:"password_at"`          // when the password was set
	LastLogin   int64  `json:"last_login,omitempty"` // absent: never
}

// UserList is one page of accounts.
type UserList struct {
	Users []User `json:"users"`
	Next  string `json:"next,omitempty"` // pass as After for more
}
