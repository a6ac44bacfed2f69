<?php
// SPDX-License-Identifier: Apache-2.0
//
// The configuration of a WordPress of the tests, out of its environment.
foreach ( array( 'DB_NAME', 'DB_HOST', 'WP_HOME' ) as $name ) {
	define( $name, getenv( $name ) );
}
define( 'WP_SITEURL', WP_HOME );
define( 'DB_USER', 'root' );
define( 'DB_PASSWORD', '' );
define( 'DB_CHARSET', 'utf8mb4' );
define( 'WP_CONTENT_DIR', __DIR__ . '/wp-content' );
define( 'DISABLE_WP_CRON', true );
define( 'AUTOMATIC_UPDATER_DISABLED', true );
// It asks nobody outside this machine.
define( 'WP_HTTP_BLOCK_EXTERNAL', true );
define( 'WP_ACCESSIBLE_HOSTS', '127.0.0.*' );
$table_prefix = 'wp_';
require_once ABSPATH . 'wp-settings.php';
