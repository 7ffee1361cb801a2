# The private PostgreSQL of ./quickstart: functions to source. They use $work, $repo, say, die, start, free_port and
# until_ready of that script.
#
# The server runs as the system account `postgres` when the script runs as root, and as the caller otherwise.

# The newest PostgreSQL of this machine that we know to work with.
postgres_bin() {
    local bin
    for bin in $(compgen -G '/usr/lib/postgresql/*/bin' | sort -rV); do
        if [[ -x $bin/initdb && -x $bin/postgres && -x $bin/psql ]]; then
            echo "$bin"
            return
        fi
    done
}

# Its package: 15 on Debian 12, whatever the release has elsewhere.
postgres_package() {
    if apt-cache show postgresql-15 > /dev/null 2>&1; then echo postgresql-15; else echo postgresql; fi
}

if [[ $EUID -eq 0 ]]; then
    database_account=postgres
    as_database_account() { (cd / && exec setpriv --reuid postgres --regid postgres --init-groups -- "$@"); }
else
    database_account=$(id -un)
    as_database_account() { "$@"; }
fi

# Where the data is: in .quickstart, or, where the account cannot reach that (a clone in /root), in /var/tmp. What is
# found in /var/tmp must belong to the account: others may write there.
data_folder() {
    if [[ $EUID -eq 0 ]] && ! as_database_account test -x "$work"; then
        echo "/var/tmp/doorward-quickstart-$(printf %s "$work" | sha256sum | cut -c1-16)"
    else
        echo "$work/postgres"
    fi
}

remove_database() {
    local data
    id "$database_account" > /dev/null 2>&1 || return 0
    [[ -d $work ]] || return 0
    data=$(data_folder)
    [[ ! -O $data && $(stat -c %U "$data" 2> /dev/null) != "$database_account" ]] || rm -rf "$data"
}

owner_psql() { as_database_account "$(postgres_bin)/psql" -X -q -v ON_ERROR_STOP=1 -h "$socket_dir" -p "$database_port" "$@"; }

make_data_folder() {
    local data=$1
    if [[ $EUID -eq 0 ]]; then
        install -d -m 0700 -o postgres -g postgres "$data"
    else
        install -d -m 0700 "$data"
    fi
    [[ ! -L $data && $(stat -c %U "$data") == "$database_account" ]] || die "$data belongs to somebody else"
    # A loopback caller needs a password, so that the gateway's upstream credential is a real one.
    as_database_account "$bin/initdb" -D "$data" --auth-local=peer --auth-host=scram-sha-256 -U "$database_account" \
        --encoding=UTF8 --locale=C.UTF-8 --no-sync > "$work/initdb.log" 2>&1 ||
        { tail -n 20 "$work/initdb.log" >&2 && die 'initdb failed'; }
}

start_database() {
    local data bin
    bin=$(postgres_bin)
    data=$(data_folder)
    [[ -e $data/PG_VERSION ]] || make_data_folder "$data"
    [[ ! -L $data && $(stat -c %U "$data") == "$database_account" ]] || die "$data belongs to somebody else"
    # Kept short: the path of a Unix socket has 107 bytes at most.
    socket_dir=$(mktemp -d /tmp/doorward-quickstart-XXXXXX)
    [[ $EUID -ne 0 ]] || chown postgres:postgres "$socket_dir"
    free_port 5442 && database_port=$found_port
    local command=("$bin/postgres" -D "$data" -p "$database_port" -k "$socket_dir" -c listen_addresses=127.0.0.1
        -c fsync=off -c max_connections=50)
    if [[ $EUID -eq 0 ]]; then
        start "$work/postgres.log" env -C / setpriv --reuid postgres --regid postgres --init-groups --pdeathsig INT -- "${command[@]}"
    else
        start "$work/postgres.log" "${command[@]}"
    fi
    database_pid=$started
    until_ready PostgreSQL "$database_pid" "$work/postgres.log" owner_psql -d postgres -c 'SELECT 1'
    fill_database
}

# Makes role and rows unless they are there. The password is drawn once and known to the gateway alone.
fill_database() {
    local password=$work/upstream-password
    if [[ ! -s $password ]]; then
        (umask 077 && openssl rand -hex 24 > "$password")
    fi
    {
        [[ -n $(owner_psql -d postgres -Atc "SELECT 1 FROM pg_roles WHERE rolname = 'app'") ]] || echo 'CREATE ROLE app LOGIN;'
        # Not as an argument: those are for everybody to see.
        printf "SET client_min_messages = warning; SET log_statement = 'none'; ALTER ROLE app PASSWORD '%s';\n" "$(cat "$password")"
        # A database of this name without the tables is of a run that was stopped half-way.
        [[ -n $(owner_psql -d orders -Atc "SELECT 1 FROM pg_class WHERE relname = 'orders'" 2> /dev/null) ]] ||
            printf 'DROP DATABASE IF EXISTS orders;\nCREATE DATABASE orders OWNER app;\n'
    } | owner_psql -d postgres
    if [[ -z $(owner_psql -d orders -Atc "SELECT 1 FROM pg_class WHERE relname = 'orders'") ]]; then
        say 'filling the sample database'
        { echo 'SET ROLE app;' && cat "$repo/demo/orders.sql"; } | owner_psql -d orders > /dev/null
    fi
    fill_warehouse
}

# A second database, which no connection leads to: for whoever registers a backend on the pages
# (docs/guide/first-ten-minutes.md). Its password is theirs to know.
fill_warehouse() {
    local password=$work/warehouse-password
    [[ -s $password ]] || (umask 077 && openssl rand -hex 12 > "$password")
    {
        [[ -n $(owner_psql -d postgres -Atc "SELECT 1 FROM pg_roles WHERE rolname = 'clerk'") ]] || echo 'CREATE ROLE clerk LOGIN;'
        printf "SET log_statement = 'none'; ALTER ROLE clerk PASSWORD '%s';\n" "$(cat "$password")"
        [[ -n $(owner_psql -d warehouse -Atc "SELECT 1 FROM pg_class WHERE relname = 'suppliers'" 2> /dev/null) ]] ||
            printf 'SET client_min_messages = warning;\nDROP DATABASE IF EXISTS warehouse;\nCREATE DATABASE warehouse OWNER clerk;\n'
    } | owner_psql -d postgres
    if [[ -z $(owner_psql -d warehouse -Atc "SELECT 1 FROM pg_class WHERE relname = 'suppliers'") ]]; then
        { echo 'SET ROLE clerk;' && cat "$repo/demo/warehouse.sql"; } | owner_psql -d warehouse > /dev/null
    fi
}
