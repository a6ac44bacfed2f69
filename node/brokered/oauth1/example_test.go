// SPDX-License-Identifier: Apache-2.0

package oauth1_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/comity-network/comity/node/brokered/oauth1"
)

// The request of the package comment.
func Example() {
	const (
		head = "POST /broker/connect/?lang=de HTTP/1.1\r\n" +
			"Host: broker.example\r\n" +
			`Authorization: OAuth oauth_consumer_key="app%201", oauth_nonce="kllo9940pd9333jh", oauth_signature_method="HMAC-SHA256", oauth_timestamp="1795282987", oauth_version="1.0", oauth_signature="vx7H%2B%2F%2BJSV2Fge%2B%2FWD3bttYcwXHB6HgBCvB6aboMaq8%3D"` + "\r\n" +
			"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
		body = "server_url=https%3A%2F%2Fblog.example%2F"
	)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
	if err != nil {
		panic(err)
	}
	parsed, err := oauth1.Parse(r, &url.URL{Scheme: "https", Host: "broker.example"}, []byte(body))
	if err != nil {
		panic(err)
	}
	fmt.Println(parsed.BaseString())
	fmt.Println(parsed.VerifyHMAC("kd94hf93k423kf44", ""))
	fmt.Println(parsed.CheckTime(time.Unix(1795283000, 0)))
	fmt.Println(parsed.Value("server_url"))
	// Output:
	// POST&https%3A%2F%2Fbroker.example%2Fbroker%2Fconnect%2F&lang%3Dde%26oauth_consumer_key%3Dapp%25201%26oauth_nonce%3Dkllo9940pd9333jh%26oauth_signature_method%3DHMAC-SHA256%26oauth_timestamp%3D1795282987%26oauth_version%3D1.0%26server_url%3Dhttps%253A%252F%252Fblog.example%252F
	// <nil>
	// <nil>
	// https://blog.example/ <nil>
}
