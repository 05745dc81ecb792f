<?php
// The form begins with this server, as if its name stood in the address.
$_GET += ["server" => getenv("ADMINER_DEFAULT_SERVER") ?: ""];
include "/usr/share/adminer/adminer.php";
