<?php
// SPDX-License-Identifier: Apache-2.0
//
// What a web server's rewrite rules do for WordPress: a script that exists is
// run, any other path is WordPress's own. It notes each request when it begins,
// and when it ends, which is before the answer is complete.
define( 'ABSPATH', __DIR__ . '/' );
$note = fn( $what ) => file_put_contents( __DIR__ . '/requests.log', "$what {$_SERVER['REQUEST_METHOD']} {$_SERVER['REQUEST_URI']}\n", FILE_APPEND | LOCK_EX );
$note( 'begins' );
register_shutdown_function( $note, 'ends' );
$path = parse_url( $_SERVER['REQUEST_URI'], PHP_URL_PATH );
if ( ! preg_match( '#^/(index|wp-login)\.php$#', (string) $path ) ) {
	$path = '/index.php';
}
$_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = $path;
$_SERVER['SCRIPT_FILENAME'] = __DIR__ . $path;
chdir( __DIR__ );
require __DIR__ . $path;
