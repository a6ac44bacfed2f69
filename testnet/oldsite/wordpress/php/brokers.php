<?php
// SPDX-License-Identifier: Apache-2.0
//
// Allows a broker: its identifier and its confirm URL are the arguments.
define( 'ABSPATH', __DIR__ . '/' );
$_SERVER['HTTP_HOST']       = parse_url( getenv( 'WP_HOME' ), PHP_URL_HOST );
$_SERVER['REQUEST_URI']     = '/';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
require_once ABSPATH . 'wp-load.php';

$brokers             = get_option( 'brokered_auth_brokers', array() );
$brokers[ $argv[1] ] = $argv[2];
update_option( 'brokered_auth_brokers', $brokers );
