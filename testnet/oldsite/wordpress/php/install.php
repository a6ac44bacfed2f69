<?php
// SPDX-License-Identifier: Apache-2.0
//
// Installs WordPress with pretty permalinks and the plugin. The environment
// has the name, the password and the address of the one user.
define( 'ABSPATH', __DIR__ . '/' );
define( 'WP_INSTALLING', true );
$_SERVER['HTTP_HOST']       = parse_url( getenv( 'WP_HOME' ), PHP_URL_HOST ) . ':' . parse_url( getenv( 'WP_HOME' ), PHP_URL_PORT );
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
$_SERVER['REQUEST_URI']     = '/';
$_SERVER['REMOTE_ADDR']     = '127.0.0.1';

// Nobody waits for the letter that says that it is done.
function wp_new_blog_notification() {}

require_once ABSPATH . 'wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
require_once ABSPATH . 'wp-admin/includes/plugin.php';

wp_install( getenv( 'SITE_NAME' ), getenv( 'USER_NAME' ), getenv( 'USER_EMAIL' ), true, '', getenv( 'USER_PASSWORD' ), 'en_US' );
$GLOBALS['wp_rewrite']->set_permalink_structure( '/%postname%/' );
$error = activate_plugin( 'brokered-authentication.php' );
if ( is_wp_error( $error ) ) {
	fwrite( STDERR, $error->get_error_message() . "\n" );
	exit( 1 );
}
update_option( 'rewrite_rules', '' );
