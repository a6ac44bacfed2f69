<?php
/**
 * Plugin Name: Brokered Authentication of a test site
 * Description: The site's side of Brokered Authentication, and OAuth 1.0a (RFC 5849) in three legs.
 * Version: 1.0
 * License: GPL-2.0-or-later OR Apache-2.0
 *
 * SPDX-License-Identifier: GPL-2.0-or-later OR Apache-2.0
 *
 * It was written from a description of the protocol, for tests of brokers on a
 * real WordPress, and does on the wire what the plugin of 2016 was seen to do.
 * It is not for sites of the world: it has no page for its settings, and it
 * never tells anybody why a connection failed.
 *
 * Option brokered_auth_brokers: confirm URLs by the identifiers of the brokers.
 * Table brokered_auth: clients and their keys, tokens, and nonces.
 */

namespace Comity\BrokeredAuthentication;

const WINDOW = 900; // seconds that a timestamp may be from the clock, either way

// --- Storage -------------------------------------------------------------

function table() {
	return $GLOBALS['wpdb']->prefix . 'brokered_auth';
}

function create_table() {
	$GLOBALS['wpdb']->query(
		'CREATE TABLE IF NOT EXISTS ' . table() . ' (
			kind VARBINARY(16) NOT NULL,
			name VARBINARY(255) NOT NULL,
			value LONGBLOB NOT NULL,
			PRIMARY KEY (kind, name)
		)'
	);
}
register_activation_hook( __FILE__, __NAMESPACE__ . '\create_table' );

function lookup( $kind, $name ) {
	global $wpdb;
	$value = $wpdb->get_var( $wpdb->prepare( 'SELECT value FROM ' . table() . ' WHERE kind = %s AND name = %s', $kind, $name ) );
	return null === $value ? null : json_decode( $value, true );
}

/** Stores what is not there yet, and says whether it did: one statement. */
function claim( $kind, $name, array $value ) {
	global $wpdb;
	return 1 === $wpdb->query(
		$wpdb->prepare( 'INSERT IGNORE INTO ' . table() . ' (kind, name, value) VALUES (%s, %s, %s)', $kind, $name, wp_json_encode( $value ) )
	);
}

/** Deletes, and says whether there was something to delete: one statement. */
function take( $kind, $name ) {
	global $wpdb;
	return 1 === $wpdb->query( $wpdb->prepare( 'DELETE FROM ' . table() . ' WHERE kind = %s AND name = %s', $kind, $name ) );
}

// --- Discovery and the connection request --------------------------------

add_filter( 'rest_index', __NAMESPACE__ . '\index' );
function index( \WP_REST_Response $response ) {
	$data = $response->get_data();
	$data['authentication'] = (array) $data['authentication'];
	$data['authentication']['oauth1'] = array(
		'request'   => home_url( '/oauth1/request' ),
		'authorize' => home_url( '/oauth1/authorize' ),
		'access'    => home_url( '/oauth1/access' ),
		'version'   => '0.1',
	);
	$data['authentication']['broker'] = rest_url( 'broker/v1/connect' );
	$response->set_data( $data );
	return $response;
}

add_action( 'rest_api_init', __NAMESPACE__ . '\routes' );
function routes() {
	register_rest_route(
		'broker/v1',
		'/connect',
		array(
			array( 'methods' => 'GET', 'callback' => __NAMESPACE__ . '\describe', 'permission_callback' => '__return_true' ),
			array( 'methods' => 'POST', 'callback' => __NAMESPACE__ . '\connect', 'permission_callback' => '__return_true' ),
		)
	);
}

function describe() {
	return new \WP_REST_Response( 'Brokers send connection requests here.', 200, array( 'X-BA-Endpoint' => 'connection-request' ) );
}

function bad_request( $code, $message, array $data = array() ) {
	return new \WP_Error( $code, $message, array( 'status' => 400 ) + $data );
}

function connect( \WP_REST_Request $request ) {
	$form    = $request->get_body_params();
	$missing = array_values( array_diff( array( 'client_id', 'broker', 'verifier', 'callback_url' ), array_keys( array_filter( $form, 'is_string' ) ) ) );
	if ( $missing ) {
		return bad_request( 'rest_missing_callback_param', 'Missing: ' . implode( ', ', $missing ), array( 'params' => $missing ) );
	}
	$brokers = get_option( 'brokered_auth_brokers', array() );
	$id      = $form['client_id'];
	if ( ! isset( $brokers[ $form['broker'] ] ) ) {
		return bad_request( 'ba.unknown_broker', 'Unknown broker ID.' );
	}
	if ( '' === $id || strlen( $id ) > 255 ) {
		return bad_request( 'ba.invalid_client_id', 'The client ID is not between 1 and 255 characters long.' );
	}
	if ( ! preg_match( '/\A[A-Za-z0-9]{1,255}\z/', $form['verifier'] ) ) {
		return bad_request( 'ba.invalid_verifier', 'The verifier is not of 1 to 255 letters and digits.' );
	}
	if ( ! wp_parse_url( $form['callback_url'], PHP_URL_SCHEME ) || ! wp_parse_url( $form['callback_url'], PHP_URL_HOST ) ) {
		return bad_request( 'ba.invalid_callback', 'The callback URL is not absolute.' );
	}

	// A client that is known by its id is sent what it has.
	$client = lookup( 'client', $id );
	$known  = null !== $client;
	if ( ! $known ) {
		$client = array(
			'id'       => $id,
			'key'      => wp_generate_password( 12, false ),
			'secret'   => wp_generate_password( 48, false ),
			'callback' => $form['callback_url'],
			'name'     => isset( $form['client_name'] ) && is_string( $form['client_name'] ) ? $form['client_name'] : $id,
		);
	}
	$answer = wp_remote_post(
		$brokers[ $form['broker'] ],
		array(
			'timeout' => 5,
			'headers' => array( 'Content-Type' => 'application/x-www-form-urlencoded' ),
			'body'    => "verifier={$form['verifier']}&client_id={$id}&client_token={$client['key']}&client_secret={$client['secret']}",
		)
	);
	// The credentials work from here on, if the broker said exactly 200.
	if ( ! $known && 200 === wp_remote_retrieve_response_code( $answer ) ) {
		claim( 'consumer', $client['key'], $client );
		claim( 'client', $id, $client );
	}
	return new \WP_REST_Response( null, 202 );
}

// --- Signatures ------------------------------------------------------------

class Refused extends \Exception {}

/** Name and value pairs of a query or a form, in which names may repeat. */
function pairs( $encoded ) {
	$pairs = array();
	foreach ( array_filter( explode( '&', $encoded ), 'strlen' ) as $pair ) {
		$parts   = explode( '=', $pair, 2 );
		$pairs[] = array( urldecode( $parts[0] ), urldecode( isset( $parts[1] ) ? $parts[1] : '' ) );
	}
	return $pairs;
}

/** What the request says of itself, without the slashes that WordPress adds. */
function server( $name ) {
	return isset( $_SERVER[ $name ] ) ? wp_unslash( $_SERVER[ $name ] ) : '';
}

function authorization() {
	$header = server( 'HTTP_AUTHORIZATION' );
	return 0 === stripos( $header, 'OAuth ' ) ? substr( $header, 6 ) : null;
}

/** The protocol parameters of the Authorization header, decoded. */
function parameters() {
	$sent = array();
	preg_match_all( '/([a-z_]+)="([^"]*)"/', (string) authorization(), $found, PREG_SET_ORDER );
	foreach ( $found as $one ) {
		if ( isset( $sent[ $one[1] ] ) ) {
			throw new Refused( $one[1] . ' is sent twice', 400 );
		}
		$sent[ $one[1] ] = rawurldecode( $one[2] );
	}
	unset( $sent['realm'] );
	foreach ( array( 'consumer_key', 'signature', 'signature_method', 'timestamp', 'nonce' ) as $name ) {
		if ( empty( $sent[ 'oauth_' . $name ] ) ) {
			throw new Refused( "oauth_$name is missing", 401 );
		}
	}
	return $sent;
}

/** The signature base string (RFC 5849, section 3.4.1). */
function base_string( array $sent ) {
	unset( $sent['oauth_signature'] );
	$all = array();
	foreach ( $sent as $name => $value ) {
		$all[] = array( $name, $value );
	}
	$all = array_merge( $all, pairs( server( 'QUERY_STRING' ) ) );
	if ( 0 === strpos( server( 'CONTENT_TYPE' ), 'application/x-www-form-urlencoded' ) ) {
		$all = array_merge( $all, pairs( file_get_contents( 'php://input' ) ) );
	}
	$all = array_map( fn( $pair ) => array( rawurlencode( $pair[0] ), rawurlencode( $pair[1] ) ), $all );
	usort( $all, fn( $a, $b ) => strcmp( $a[0], $b[0] ) ?: strcmp( $a[1], $b[1] ) );
	$home = wp_parse_url( home_url() );
	$uri  = strtolower( $home['scheme'] . '://' . $home['host'] ) . ( isset( $home['port'] ) ? ':' . $home['port'] : '' ) . request_path();
	return server( 'REQUEST_METHOD' ) . '&' . rawurlencode( $uri ) . '&' .
		rawurlencode( implode( '&', array_map( fn( $pair ) => $pair[0] . '=' . $pair[1], $all ) ) );
}

function request_path() {
	return explode( '?', server( 'REQUEST_URI' ), 2 )[0];
}

/** Checks a signed request and returns its parameters, its client and the token of that kind. */
function verify( $kind ) {
	$sent   = parameters();
	$client = lookup( 'consumer', $sent['oauth_consumer_key'] );
	if ( ! $client ) {
		throw new Refused( 'Consumer Key is invalid', 401 );
	}
	$token = null;
	if ( $kind ) {
		$token = lookup( $kind, isset( $sent['oauth_token'] ) ? $sent['oauth_token'] : '' );
		if ( ! $token || $token['client'] !== $client['key'] ) {
			throw new Refused( 'there is no such token of this client', 401 );
		}
	}
	if ( abs( time() - (int) $sent['oauth_timestamp'] ) > WINDOW ) {
		throw new Refused( 'the timestamp is too far from the clock of this site', 401 );
	}
	$hashes = array( 'HMAC-SHA1' => 'sha1', 'HMAC-SHA256' => 'sha256' );
	if ( ! isset( $hashes[ $sent['oauth_signature_method'] ] ) ) {
		throw new Refused( 'the signature method must be HMAC-SHA1 or HMAC-SHA256', 401 );
	}
	$key  = rawurlencode( $client['secret'] ) . '&' . rawurlencode( $token ? $token['secret'] : '' );
	$want = base64_encode( hash_hmac( $hashes[ $sent['oauth_signature_method'] ], base_string( $sent ), $key, true ) );
	if ( ! hash_equals( $want, $sent['oauth_signature'] ) ) {
		throw new Refused( 'the signature does not fit', 401 );
	}
	$once = array( $client['key'], $token ? $token['key'] : '', $sent['oauth_timestamp'], $sent['oauth_nonce'] );
	if ( ! claim( 'nonce', hash( 'sha256', wp_json_encode( $once ) ), array() ) ) {
		throw new Refused( 'this nonce was used before', 401 );
	}
	return array( $sent, $client, $token );
}

// --- Three legs ----------------------------------------------------------

add_action( 'init', __NAMESPACE__ . '\legs' );
function legs() {
	$base = (string) wp_parse_url( home_url(), PHP_URL_PATH );
	try {
		switch ( substr( request_path(), strlen( $base ) ) ) {
			case '/oauth1/request':
				answer( 200, request_token() );
			case '/oauth1/access':
				answer( 200, access_token() );
			case '/oauth1/authorize':
				$token = isset( $_GET['oauth_token'] ) ? (string) wp_unslash( $_GET['oauth_token'] ) : '';
				wp_redirect( add_query_arg( array( 'action' => 'oauth1_authorize', 'oauth_token' => rawurlencode( $token ) ), site_url( 'wp-login.php' ) ) );
				exit;
		}
	} catch ( Refused $e ) {
		answer( $e->getCode(), $e->getMessage() );
	}
}

function answer( $status, $text ) {
	status_header( $status );
	nocache_headers();
	header( 'Content-Type: application/x-www-form-urlencoded; charset=utf-8' );
	echo $text; // no page: a client reads it
	exit;
}

function new_token( array $client, array $more ) {
	return array( 'key' => wp_generate_password( 24, false ), 'secret' => wp_generate_password( 48, false ), 'client' => $client['key'] ) + $more;
}

function request_token() {
	list( $sent, $client ) = verify( null );
	$callback = $client['callback'];
	if ( ! empty( $sent['oauth_callback'] ) ) {
		$callback = $sent['oauth_callback'];
		if ( without_query( $callback ) !== without_query( $client['callback'] ) ) {
			throw new Refused( 'the callback is not the one that the client was connected with', 401 );
		}
	}
	$token = new_token( $client, array( 'callback' => $callback ) );
	claim( 'request', $token['key'], $token );
	return "oauth_token={$token['key']}&oauth_token_secret={$token['secret']}&oauth_callback_confirmed=true";
}

function without_query( $url ) {
	return explode( '?', explode( '#', $url, 2 )[0], 2 )[0];
}

function access_token() {
	list( $sent, $client, $token ) = verify( 'request' );
	$granted = lookup( 'authorized', $token['key'] );
	if ( ! $granted || ! isset( $sent['oauth_verifier'] ) || ! hash_equals( $granted['verifier'], $sent['oauth_verifier'] ) ) {
		throw new Refused( 'the verifier is not the one that the user brought back', 401 );
	}
	if ( ! take( 'authorized', $token['key'] ) ) { // of several at once, one redeems it
		throw new Refused( 'the verifier was used before', 401 );
	}
	take( 'request', $token['key'] );
	$access = new_token( $client, array( 'user' => $granted['user'] ) );
	claim( 'access', $access['key'], $access );
	return "oauth_token={$access['key']}&oauth_token_secret={$access['secret']}";
}

add_action( 'login_form_oauth1_authorize', __NAMESPACE__ . '\consent' );
function consent() {
	if ( ! is_user_logged_in() ) {
		wp_safe_redirect( wp_login_url( server( 'REQUEST_URI' ) ) );
		exit;
	}
	$key    = isset( $_GET['oauth_token'] ) && is_string( $_GET['oauth_token'] ) ? wp_unslash( $_GET['oauth_token'] ) : '';
	$token  = lookup( 'request', $key );
	$client = $token ? lookup( 'consumer', $token['client'] ) : null;
	if ( ! $client ) {
		wp_die( 'There is no such token.', 401 );
	}
	if ( 'POST' === server( 'REQUEST_METHOD' ) ) {
		check_admin_referer( 'oauth1_authorize_' . $key );
		decide( $token, isset( $_POST['wp-submit'] ) && 'authorize' === $_POST['wp-submit'] );
		exit;
	}
	login_header( 'Authorize' );
	?>
	<form name="oauth1_authorize_form" action="<?php echo esc_url( site_url( 'wp-login.php?action=oauth1_authorize&oauth_token=' . rawurlencode( $key ) ) ); ?>" method="post">
		<h2>Connect <?php echo esc_html( $client['name'] ); ?></h2>
		<?php wp_nonce_field( 'oauth1_authorize_' . $key ); ?>
		<button type="submit" name="wp-submit" value="authorize">Authorize</button>
		<button type="submit" name="wp-submit" value="cancel">Cancel</button>
	</form>
	<?php
	login_footer();
	exit;
}

/** Sends the user back to the client with a verifier, or home. */
function decide( array $token, $agreed ) {
	if ( ! $agreed ) {
		take( 'request', $token['key'] );
		wp_safe_redirect( home_url() );
		return;
	}
	$verifier = wp_generate_password( 24, false );
	if ( ! claim( 'authorized', $token['key'], array( 'verifier' => $verifier, 'user' => get_current_user_id() ) ) ) {
		wp_die( 'This token was authorized before.', 401 );
	}
	wp_redirect( add_query_arg( array( 'oauth_token' => $token['key'], 'oauth_verifier' => $verifier, 'wp_scope' => '%2A' ), $token['callback'] ) );
}

// --- Signed requests of the API ------------------------------------------

add_filter( 'determine_current_user', __NAMESPACE__ . '\user', 20 );
function user( $user ) {
	static $found = null; // a signature is good once, and WordPress asks often
	if ( $user || null === authorization() || false !== strpos( request_path(), '/oauth1/' ) ) {
		return $user;
	}
	if ( null === $found ) {
		$found = false; // whoever asks meanwhile gets nobody
		try {
			$found = verify( 'access' )[2]['user'];
		} catch ( Refused $e ) {
			$GLOBALS['brokered_auth_refused'] = $e->getMessage();
		}
	}
	return $found ? $found : $user;
}

add_filter( 'rest_authentication_errors', __NAMESPACE__ . '\refused' );
function refused( $result ) {
	if ( null === $result && isset( $GLOBALS['brokered_auth_refused'] ) ) {
		return new \WP_Error( 'rest_not_logged_in', $GLOBALS['brokered_auth_refused'], array( 'status' => 401 ) );
	}
	return $result;
}
