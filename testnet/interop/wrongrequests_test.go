// SPDX-License-Identifier: Apache-2.0

package interop_test

const (
	basic  = "\nBasic: $basic:$secret\n\n"
	goTo   = "GET authorize\n\n"
	good   = "response_type=code&client_id=$none&redirect_uri=$callback&scope=openid&state=a"
	pkce   = "&code_challenge=$challenge&code_challenge_method=S256"
	redeem = "grant_type=authorization_code&redirect_uri=$callback&code_verifier=$verifier"
)

// wrongRequests are in the order of the endpoints.
var wrongRequests = []wrongRequest{
	// RFC 6749, section 4.1.2.1; RFC 7636, section 4.4.1.
	{name: "authorize: no client_id", request: goTo + "response_type=code&redirect_uri=$callback", want: "400"},
	{name: "authorize: unknown client", request: goTo + "response_type=code&client_id=x&redirect_uri=$callback&scope=openid" + pkce, want: "400"},
	{name: "authorize: no redirect_uri", request: goTo + "response_type=code&client_id=$none&scope=openid" + pkce, want: "400"},
	{name: "authorize: wrong redirect_uri", request: goTo + "response_type=code&client_id=$none&scope=openid&redirect_uri=https%3A%2F%2Fevil.example%2Fcb" + pkce, want: "400"},
	{name: "authorize: longer redirect_uri", request: goTo + "response_type=code&client_id=$none&scope=openid&redirect_uri=${callback}x" + pkce, want: "400"},
	{name: "authorize: redirect_uri twice", request: goTo + good + "&redirect_uri=$callback" + pkce, want: "400", differs: "RFC 6749, section 3.1: a parameter must not be there twice; the oracle takes the first"},
	{name: "authorize: no response_type", request: goTo + "client_id=$none&redirect_uri=$callback&scope=openid&state=a" + pkce, want: "303 invalid_request"},
	{name: "authorize: unknown response_type", request: goTo + "response_type=x&client_id=$none&redirect_uri=$callback&scope=openid&state=a" + pkce, want: "303 unsupported_response_type", differs: "RFC 6749, section 4.1.2.1 has unsupported_response_type for it"},
	{name: "authorize: response_type token", request: goTo + "response_type=token&client_id=$none&redirect_uri=$callback&scope=openid&state=a", want: "303 unauthorized_client", differs: "RFC 6749, section 4.2.2.1 has unauthorized_client for it"},
	{name: "authorize: no code_challenge", request: goTo + good, want: "303 invalid_request"},
	{name: "authorize: plain", request: goTo + good + "&code_challenge=$verifier&code_challenge_method=plain", want: "303 invalid_request"},
	{name: "authorize: no code_challenge_method", request: goTo + good + "&code_challenge=$challenge", want: "303 invalid_request"},
	{name: "authorize: unknown scope", request: goTo + "response_type=code&client_id=$none&redirect_uri=$callback&scope=openid+x" + pkce, want: "303 invalid_scope"},
	{name: "authorize: unknown response_mode", request: goTo + good + pkce + "&response_mode=x", want: "303 invalid_request"},
	{name: "authorize: unknown request_uri", request: goTo + "client_id=$none&request_uri=urn:ietf:params:oauth:request_uri:x", want: "400"},
	{name: "authorize: request object", request: goTo + good + pkce + "&request=x", want: "303 request_not_supported"},
	{name: "authorize: PUT", request: "PUT authorize\n\n", want: "405"},

	// RFC 9126, section 2.3.
	{name: "par: wrong secret", request: "POST par\nBasic: $basic:wrong\n\nresponse_type=code&redirect_uri=$callback&scope=openid" + pkce, want: "401 invalid_client Basic"},
	{name: "par: unknown client", request: "POST par\n\nresponse_type=code&client_id=x&redirect_uri=$callback&scope=openid" + pkce, want: "401 invalid_client Basic"},
	{name: "par: no client", request: "POST par\n\nresponse_type=code&redirect_uri=$callback&scope=openid" + pkce, want: "401 invalid_client Basic"},
	{name: "par: wrong redirect_uri", request: "POST par" + basic + "response_type=code&scope=openid&redirect_uri=https%3A%2F%2Fevil.example" + pkce, want: "400 invalid_request"},
	{name: "par: request_uri", request: "POST par" + basic + "request_uri=urn:ietf:params:oauth:request_uri:x", want: "400 invalid_request"},
	{name: "par: no response_type", request: "POST par" + basic + "redirect_uri=$callback&scope=openid" + pkce, want: "400 invalid_request", differs: "RFC 9126, section 2.1: a request is judged when it is pushed; RFC 6749, section 4.1.1 requires response_type"},
	{name: "par: unknown response_type", request: "POST par" + basic + "response_type=x&redirect_uri=$callback&scope=openid" + pkce, want: "400 unsupported_response_type", differs: "RFC 6749, section 4.1.2.1 has unsupported_response_type for it"},
	{name: "par: no code_challenge", request: "POST par" + basic + "response_type=code&redirect_uri=$callback&scope=openid", want: "400 invalid_request", differs: "RFC 9126, section 2.1: a request is judged when it is pushed; RFC 7636, section 4.4.1"},
	{name: "par: GET", request: "GET par\n\n", want: "405 invalid_request"},
	{name: "par: JSON", request: "POST par\nContent-Type: application/json\n\n{}", want: "415 invalid_request"},

	// RFC 6749, section 5.2; RFC 7636, section 4.6.
	{name: "token: no grant_type", request: "POST token" + basic, want: "400 invalid_request", differs: "RFC 6749, section 5.2: invalid_request is for a parameter that is missing"},
	{name: "token: unknown grant_type", request: "POST token" + basic + "grant_type=x", want: "400 unsupported_grant_type"},
	{name: "token: grant that the client has not", request: "POST token" + basic + "grant_type=client_credentials&scope=openid", want: "400 unauthorized_client"},
	{name: "token: no client", request: "POST token\n\n" + redeem + "&code=x", want: "401 invalid_client Basic"},
	{name: "token: unknown client", request: "POST token\n\n" + redeem + "&client_id=x&code=x", want: "401 invalid_client Basic"},
	{name: "token: unknown client with a secret", request: "POST token\nBasic: x:y\n\n" + redeem + "&code=x", want: "401 invalid_client Basic"},
	{name: "token: wrong secret", request: "POST token\nBasic: $basic:wrong\n\n" + redeem + "&code=x", want: "401 invalid_client Basic"},
	{name: "token: no secret", request: "POST token\n\n" + redeem + "&client_id=$basic&code=x", want: "401 invalid_client Basic"},
	{name: "token: secret in the body", request: "POST token\n\n" + redeem + "&client_id=$basic&client_secret=$secret&code=x", want: "401 invalid_client Basic"},
	{name: "token: client_id of another", request: "POST token" + basic + redeem + "&client_id=$none&code=x", want: "400 invalid_request", differs: "RFC 6749, section 5.2: invalid_request is for a malformed request; authentication itself did not fail"},
	{name: "token: no code", request: "POST token" + basic + redeem, want: "400 invalid_request"},
	{name: "token: wrong code", request: "POST token" + basic + redeem + "&code=x", want: "400 invalid_grant"},
	{name: "token: code of another client", request: "POST token" + basic + redeem + "&code=$nonecode", want: "400 invalid_grant"},
	{name: "token: used code", request: "POST token" + basic + redeem + "&code=$usedcode", want: "400 invalid_grant"},
	{name: "token: code twice", request: "POST token" + basic + redeem + "&code=x&code=x", want: "400 invalid_request", differs: "RFC 6749, section 5.2: invalid_request is for a parameter that is repeated"},
	{name: "token: no redirect_uri", request: "POST token" + basic + "grant_type=authorization_code&code_verifier=$verifier&code=$code", want: "400 invalid_request", differs: "RFC 6749, section 5.2: invalid_request is for a parameter that is missing"},
	{name: "token: another redirect_uri", request: "POST token" + basic + "grant_type=authorization_code&code_verifier=$verifier&code=$code&redirect_uri=https%3A%2F%2Fx.example", want: "400 invalid_grant"},
	{name: "token: no verifier", request: "POST token" + basic + "grant_type=authorization_code&code=$code&redirect_uri=$callback", want: "400 invalid_grant"},
	{name: "token: wrong verifier", request: "POST token" + basic + "grant_type=authorization_code&code=$code&redirect_uri=$callback&code_verifier=${verifier}x", want: "400 invalid_grant"},
	{name: "token: no refresh token", request: "POST token" + basic + "grant_type=refresh_token", want: "400 invalid_request"},
	{name: "token: wrong refresh token", request: "POST token" + basic + "grant_type=refresh_token&refresh_token=x", want: "400 invalid_grant"},
	{name: "token: refresh token of another client", request: "POST token" + basic + "grant_type=refresh_token&refresh_token=$nonerefresh", want: "400 invalid_grant"},
	{name: "token: access token as refresh token", request: "POST token" + basic + "grant_type=refresh_token&refresh_token=$access", want: "400 invalid_grant"},
	{name: "token: wider scope", request: "POST token" + basic + "grant_type=refresh_token&refresh_token=$refresh&scope=openid+profile", want: "400 invalid_scope"},
	{name: "token: GET", request: "GET token\n\n", want: "405 invalid_request"},
	{name: "token: JSON", request: "POST token\nContent-Type: application/json\n\n{}", want: "415 invalid_request"},

	// RFC 7662, section 2.3.
	{name: "introspect: no token", request: "POST introspect" + basic, want: "400 invalid_request"},
	{name: "introspect: no client", request: "POST introspect\n\ntoken=x", want: "401 invalid_client Basic"},
	{name: "introspect: wrong secret", request: "POST introspect\nBasic: $basic:wrong\n\ntoken=x", want: "401 invalid_client Basic"},
	{name: "introspect: unknown token", request: "POST introspect" + basic + "token=x", want: "200"},
	{name: "introspect: GET", request: "GET introspect\n\n", want: "405 invalid_request"},
	{name: "introspect: JSON", request: "POST introspect\nContent-Type: application/json\n\n{}", want: "415 invalid_request"},

	// RFC 7009, section 2.2.
	{name: "revoke: no token", request: "POST revoke" + basic, want: "400 invalid_request"},
	{name: "revoke: no client", request: "POST revoke\n\ntoken=x", want: "401 invalid_client Basic"},
	{name: "revoke: wrong secret", request: "POST revoke\nBasic: $basic:wrong\n\ntoken=x", want: "401 invalid_client Basic"},
	{name: "revoke: unknown token", request: "POST revoke" + basic + "token=x", want: "200"},
	{name: "revoke: unknown token of an unknown type", request: "POST revoke" + basic + "token=x&token_type_hint=x", want: "200"},
	{name: "revoke: token of another client", request: "POST revoke" + basic + "token=$noneaccess", want: "200", differs: "RFC 7009, section 2.2 has 200 for tokens that are invalid; another answer would say that the token is good (fault 14)"},
	{name: "revoke: GET", request: "GET revoke\n\n", want: "405 invalid_request"},

	// RFC 6750, section 3.1.
	{name: "userinfo: no token", request: "GET userinfo\n\n", want: "401 invalid_token Bearer"},
	{name: "userinfo: unknown token", request: "GET userinfo\nAuthorization: Bearer x\n\n", want: "401 invalid_token Bearer"},
	{name: "userinfo: refresh token", request: "GET userinfo\nAuthorization: Bearer $refresh\n\n", want: "401 invalid_token Bearer", differs: "RFC 6749, section 1.5: a refresh token is for the authorization server alone"},
	{name: "userinfo: another scheme", request: "GET userinfo\nAuthorization: Basic $access\n\n", want: "401 invalid_token Bearer", differs: "RFC 6750, section 2.1: the scheme is Bearer"},
	{name: "userinfo: PUT", request: "PUT userinfo\n\n", want: "405 invalid_request"},
}
