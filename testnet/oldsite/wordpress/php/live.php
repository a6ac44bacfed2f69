<?php
// SPDX-License-Identifier: Apache-2.0
//
// Prints the tokens of the credentials that work for a client, whose id is the
// argument: one a line.
define( 'ABSPATH', __DIR__ . '/' );
$_SERVER['HTTP_HOST']       = parse_url( getenv( 'WP_HOME' ), PHP_URL_HOST );
$_SERVER['REQUEST_URI']     = '/';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
require_once ABSPATH . 'wp-load.php';

foreach ( $GLOBALS['wpdb']->get_results( "SELECT name, value FROM {$GLOBALS['wpdb']->prefix}brokered_auth WHERE kind = 'consumer' ORDER BY name" ) as $row ) {
	if ( json_decode( $row->value, true )['id'] === $argv[1] ) {
		echo $row->name, "\n";
	}
}
