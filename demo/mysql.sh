# The private MariaDB of ./quickstart: functions to source. They use $work, $socket_dir, say, die, start, free_port and
# until_ready of that script, and the account of demo/database.sh. Debian's own server, on loopback; made anew at each run.

mariadb_server() { command -v mariadbd || echo /usr/sbin/mariadbd; }

owner_mariadb() { as_database_account mariadb --no-defaults -N --socket="$shop/socket" -u root "$@"; }

start_mysql() {
    local password=$work/shop-password command
    shop=$socket_dir/shop
    as_database_account mkdir -p "$shop/data"
    as_database_account mariadb-install-db --no-defaults --datadir="$shop/data" --skip-test-db --skip-name-resolve \
        --auth-root-authentication-method=normal > "$work/mariadb-install.log" 2>&1 ||
        { tail -n 20 "$work/mariadb-install.log" >&2 && die 'mariadb-install-db failed'; }
    free_port 3316 && shop_server_port=$found_port
    command=("$(mariadb_server)" --no-defaults --datadir="$shop/data" --socket="$shop/socket" --pid-file="$shop/pid"
        --bind-address=127.0.0.1 --port="$shop_server_port" --skip-name-resolve --innodb-log-file-size=8M
        --innodb-flush-log-at-trx-commit=0)
    if [[ $EUID -eq 0 ]]; then
        start "$work/mariadb.log" env -C / setpriv --reuid postgres --regid postgres --init-groups --pdeathsig TERM -- "${command[@]}"
    else
        start "$work/mariadb.log" "${command[@]}"
    fi
    until_ready MariaDB "$started" "$work/mariadb.log" owner_mariadb -e 'SELECT 1'
    [[ -s $password ]] || (umask 077 && openssl rand -hex 24 > "$password")
    {
        # Not as an argument: those are for everybody to see.
        printf "CREATE DATABASE public CHARACTER SET utf8mb4; CREATE USER app@'127.0.0.1' IDENTIFIED BY '%s';\n" "$(cat "$password")"
        echo "GRANT ALL ON public.* TO app@'127.0.0.1'; USE public;"
        cat "$repo/demo/shop.sql"
    } | owner_mariadb
}

# The connection, and its policies: those of `orders`, word for word, for another connection.
mysql_config() {
    sed -e 's/@id("/@id("shop-/' -e 's/::"orders/::"shop/' "$repo/policies/orders.cedar" > "$work/shop.cedar"
    cat << END

[[connections]]
name       = "shop"
kind       = "mysql"
listen     = "127.0.0.1:$shop_port"
upstream   = "127.0.0.1:$shop_server_port"
database   = "public"
user       = "app"
credential = { file = "shop-password" }
tls        = "disable"                    # towards the database, on this machine only
labels     = { environment = "demo" }

[connections.tags]
"public.customers.email"       = ["pii", "email"]
"public.customers.card_number" = ["pii", "card"]
"public.customers.ssn"         = ["pii", "ssn"]
END
}
