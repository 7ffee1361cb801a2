# The MySQL part of the tour of ./quickstart: functions to source, as demo/tour.sh. Each speaks to the gateway with
# MariaDB's own client, which knows nothing but its address and a token.

# in_shop STATEMENT…: as the agent, one session, answers and errors together; it goes on after an error.
in_shop() {
    printf '%s;\n' "$@" | MYSQL_PWD=$agent timeout 40 mariadb --no-defaults -N --force --unbuffered -h 127.0.0.1 \
        -P "$shop_port" -u ci-bot --ssl-ca="$work/state/dev-tls.crt" public 2>&1
}
shop_truth() { owner_mariadb public -e "$1"; }

tour_mysql_allowed() {
    proof=mysql/allowed
    local got want
    want=$(shop_truth 'SELECT id, name, price FROM products ORDER BY id')
    got=$(in_shop 'SELECT id, name, price FROM products ORDER BY id')
    if [[ -n $want && $got == "$want" ]]; then
        pass "the mariadb client reads products through the gateway, over TLS, with a token as its password; the policies are those of PostgreSQL"
    else
        fail 'a SELECT on products gave something else' "$got"
    fi
}

tour_mysql_masked() {
    proof=mysql/masked
    local got hidden
    got=$(in_shop 'SELECT email, card_number, ssn, notes FROM customers ORDER BY id' 'SELECT contact FROM contacts' \
        'SELECT REVERSE(ssn), LEFT(card_number, 4) FROM customers' \
        "SELECT extractvalue(1, CONCAT('~', email)) FROM customers" 'SHOW WARNINGS')
    for hidden in @example 4111 5555 '107-14' 8888 '0297-41-701'; do
        if has "$got" "$hidden"; then
            fail "\`$hidden\` came through" "$got"
            return
        fi
    done
    if has "$got" '[email]' && has "$got" 'Paid by phone, card '; then
        pass 'e-mail, card and SSN are masked in results, through a view, in expressions, in free text and in error messages'
    else
        fail 'the answer is not a masked row' "$got"
    fi
}

tour_mysql_blocked() {
    proof=mysql/blocked
    local got
    got=$(in_shop 'DROP TABLE orders' '/*!50000 DROP */ TABLE orders' 'DROP DATABASE public' 'DELETE FROM orders' \
        "SELECT * FROM customers INTO OUTFILE '/tmp/out'" "SELECT LOAD_FILE('/etc/passwd')" "SELECT 'still here'")
    if [[ $(grep -cE '^ERROR (1142|1227) \(42000\)' <<< "$got") -ne 6 ]]; then
        fail 'one of six was not refused' "$got"
    elif ! has "$got" 'still here'; then
        fail 'the session did not live on' "$got"
    elif [[ $(shop_truth 'SELECT COUNT(*) FROM orders') -ne 3 ]]; then
        fail 'the table is not what it was'
    else
        pass 'DROP, also in an executable comment, DELETE without WHERE and files of the server are refused with 1142, the policy'"'"'s id and its reason; the session lives on'
    fi
}

tour_mysql_held() {
    proof=mysql/held-and-approved
    local output=$scratch/shop-held pid id
    in_shop 'SELECT CONNECTION_ID()' 'UPDATE orders SET revision = revision + 1 WHERE id = 2' 'SELECT CONNECTION_ID()' > "$output" &
    pid=$!
    shop_held() { id=$(approvals list --token "$person" 2> /dev/null | grep -E ' pending .* shop ' | grep -oE '[0-9a-f]{8}-[0-9a-f-]{27}' | head -n 1); [[ -n $id ]]; }
    shop_waits() { local i; for ((i = 0; i < 150; i++)); do shop_held && return; sleep 0.1; done; return 1; }
    if ! shop_waits; then
        kill "$pid" 2> /dev/null
        fail 'the UPDATE was not held' "$(cat "$output")"$'\n'"$(approvals list --token "$person" 2>&1)"
        return
    fi
    if [[ $(shop_truth 'SELECT revision FROM orders WHERE id = 2') != 0 ]]; then
        fail 'it ran before anybody approved'
        return
    fi
    if approvals approve "$id" --token "$agent" > /dev/null 2>&1; then
        fail 'the requester approved it himself'
        return
    fi
    approvals approve "$id" --token "$person" > /dev/null 2>&1
    wait "$pid"
    if [[ $(shop_truth 'SELECT revision FROM orders WHERE id = 2') != 1 ]]; then
        fail 'it did not run once' "$(cat "$output")"
    elif [[ $(sort -u "$output" | wc -l) -ne 1 ]]; then
        fail 'it did not go on over the same connection' "$(cat "$output")"
    else
        shop_session=$(newest_session)
        pass 'an UPDATE on orders waits; its requester cannot approve it, dana can; it then runs once, on the same connection'
    fi
}

tour_mysql_replayed() {
    proof=mysql/replayed
    local shown
    shown=$(offline sessions replay "${shop_session:-none}" --speed 0 2>&1)
    if has "$shown" '> UPDATE orders SET revision = revision + 1 WHERE id = 2' && has "$shown" '< OK, 1 rows affected'; then
        pass 'a session plays back as statements, results and outcomes'
    else
        fail 'the replay does not show it' "$shown"
    fi
}

tour_mysql() {
    tour_mysql_allowed
    tour_mysql_masked
    tour_mysql_blocked
    tour_mysql_held
    tour_mysql_replayed
}
