# The tour of ./quickstart: a function to source. Each proof prints `PASS protocol/name: what was shown` or
# `FAIL protocol/name: why`. Proofs look at the running gateway from outside, with psql and the command line.

passed=0 failed=0
pass() {
    passed=$((passed + 1))
    printf 'PASS %s: %s\n' "$proof" "$1"
}
# fail WHY [OUTPUT]
fail() {
    failed=$((failed + 1))
    printf 'FAIL %s: %s\n' "$proof" "$1"
    [[ -z ${2:-} ]] || head -n 20 <<< "$2" | sed 's/^/    | /'
}

connection_string() {
    echo "host=localhost port=$gateway_port dbname=orders user=ci-bot sslmode=verify-full connect_timeout=10" \
        "application_name=$1 sslrootcert=$work/state/dev-tls.crt"
}

# ask NAME STATEMENT…: as the agent, one session, answers and errors together.
ask() {
    local name=$1 commands=()
    shift
    for statement in "$@"; do commands+=(-c "$statement"); done
    PGPASSWORD=$agent timeout 30 psql -X -A -t -v VERBOSITY=verbose "$(connection_string "$name")" "${commands[@]}" 2>&1
}

# What is really in the database, past the gateway.
truth() { owner_psql -d orders -Atc "$1"; }

ctl() { "$doorward" "$@"; }
approvals() { timeout 20 "$doorward" approvals "$@" --url "http://127.0.0.1:$api_port"; }
offline() { timeout 60 "$doorward" "$@" --config "$work/doorward.toml"; }

has() { [[ $1 == *"$2"* ]]; }

# wait_for SECONDS COMMAND…
wait_for() {
    local i limit=$1
    shift
    for ((i = 0; i < limit * 10; i++)); do
        if "$@" > /dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    return 1
}

newest_session() { offline sessions list | sed -n '1s/ .*//p'; }

tour_allowed() {
    proof=postgres/allowed
    local got want
    want=$(truth 'SELECT id, sku, name, price FROM products ORDER BY id LIMIT 3')
    got=$(ask tour 'SELECT id, sku, name, price FROM products ORDER BY id LIMIT 3')
    if [[ -n $want && $got == "$want" ]]; then
        pass 'psql reads products through the gateway, over TLS, with a token as its password; the rows are the database'"'"'s own'
    else
        fail 'a SELECT on products gave something else' "$got"
    fi
}

tour_masked() {
    proof=postgres/masked
    local email card copy error result real_email real_card real_ssn
    IFS='|' read -r real_email real_card real_ssn <<< "$(truth 'SELECT email, card_number, ssn FROM customers WHERE id = 3')"
    result=$(ask tour 'SELECT email, card_number, ssn, notes FROM customers WHERE id = 3')
    masked_session=$(newest_session)
    copy=$(ask tour 'COPY (SELECT email, card_number, ssn, notes FROM customers WHERE id = 3) TO STDOUT')
    error=$(ask tour 'SELECT email::integer FROM customers WHERE id = 3')
    IFS='|' read -r email card _ <<< "$result"
    masked_email=$email masked_card=$card
    local hidden text
    for text in "$result" "$copy" "$error"; do
        for hidden in "$real_email" "$real_card" "$real_ssn" "${real_card:0:4} ${real_card:4:4} ${real_card:8:4}"; do
            if has "$text" "$hidden"; then
                fail "\`$hidden\` came through" "$text"
                return
            fi
        done
    done
    if [[ -z $email || -z $card || $card != *"${real_card: -4}" || $(tr -cd '|' <<< "$result") != '|||' ]]; then
        fail 'the answer is not a masked row' "$result"
    elif [[ $(wc -w <<< "$copy") -lt 4 ]]; then
        fail 'COPY gave no row' "$copy"
    elif ! has "$error" 22P02; then
        fail 'the error of the database did not come through' "$error"
    else
        pass "e-mail, card and SSN are masked ($email, $card) in a result, in a free-text note, in COPY output and in an error message"
    fi
}

tour_blocked_ddl() {
    proof=postgres/blocked-ddl
    local got
    got=$(ask tour 'DROP TABLE orders' 'DROP DATABASE orders' 'BEGIN' 'SELECT 1' 'DROP TABLE orders' 'SELECT 2' 'ROLLBACK' \
        "SELECT 'still ' || 'here'")
    if [[ $(grep -cE '42501: DROP (TABLE|DATABASE) refused by policy `[a-z-]+`: ' <<< "$got") -ne 3 ]]; then
        fail 'DROP was not refused by a policy with SQLSTATE 42501' "$got"
    elif ! has "$got" 'schema changes go through migrations'; then
        fail "the policy's reason is missing" "$got"
    elif ! has "$got" 25P02; then
        fail 'a refusal within a transaction did not abort it' "$got"
    elif ! has "$got" 'still here'; then
        fail 'the session did not live on' "$got"
    elif [[ $(truth 'SELECT count(*) FROM orders') -ne 600 ]]; then
        fail 'the table is not what it was'
    else
        pass 'DROP TABLE and DROP DATABASE are refused with 42501, the policy'"'"'s id and its reason; a transaction is aborted as by any error, and the session lives on'
    fi
}

tour_delete_needs_where() {
    proof=postgres/delete-needs-where
    local got
    got=$(ask tour 'DELETE FROM orders' 'BEGIN' 'DELETE FROM orders WHERE id = 600' 'ROLLBACK')
    if ! has "$got" delete-needs-where || ! has "$got" 42501; then
        fail 'a DELETE without WHERE was not refused by its policy' "$got"
    elif ! has "$got" 'DELETE 1'; then
        fail 'a DELETE with WHERE was refused too' "$got"
    elif [[ $(truth 'SELECT count(*) FROM orders') -ne 600 ]]; then
        fail 'rows are gone'
    else
        pass 'DELETE FROM orders is refused, the same with a WHERE clause goes through'
    fi
}

tour_unidentified() {
    proof=postgres/unidentified
    local forged expired nobody
    wait_for 10 bash -c "(( \$(date +%s) >= $expired_at ))"
    # The last character of the signature's first half is another one.
    forged=$(agent=${agent:0:${#agent}-20}AAAA${agent: -16} ask tour 'SELECT 1')
    expired=$(agent=$expired_token ask tour 'SELECT 1')
    nobody=$(agent=let-me-in ask tour 'SELECT 1')
    if [[ -z $forged || $forged != "$expired" || $forged != "$nobody" ]]; then
        fail 'a forged, an expired and a made-up token did not get one and the same message' "$forged"$'\n'"$expired"$'\n'"$nobody"
    elif ! has "$forged" FATAL; then
        fail 'a bad token was let in' "$forged"
    elif [[ $(offline audit list --event authentication_failed -n 3 --output json | sed 's/.*"reason":"\([^"]*\)".*/\1/' | sort -u | wc -l) -lt 3 ]]; then
        fail 'the audit log does not tell the three apart' "$(offline audit list --event authentication_failed -n 3)"
    else
        pass 'a forged, an expired and a made-up token all hear the same words; the audit log holds the three different reasons'
    fi
}

# approved_by_another OUTPUT PID WHAT: what runs in the background waits for an approval, which its requester cannot give
# and dana gives; it has ended then, with $status.
approved_by_another() {
    local output=$1 pid=$2
    approval=
    if wait_for 15 grep -q 'approval [0-9a-f-]*: ' "$output"; then
        approval=$(sed -n 's/.*approval \([0-9a-f-]*\): .*/\1/p' "$output" | head -n 1)
    fi
    if [[ -z $approval ]]; then
        kill "$pid" 2> /dev/null
        fail "$3 was not held" "$(cat "$output")"
        return 1
    fi
    if approvals approve "$approval" --token "$agent" > /dev/null 2>&1; then
        fail 'the requester approved it himself'
        return 1
    fi
    approvals approve "$approval" --token "$person" > /dev/null 2>&1
    wait "$pid"
    status=$?
}

# hold STATEMENT…: as `ask`, in the background; sets $held_pid, $held_output and $approval once it waits.
hold() {
    held_output=$scratch/held.$RANDOM
    ask tour "$@" > "$held_output" &
    held_pid=$!
    approval=
    if wait_for 15 grep -q 'waiting for approval' "$held_output"; then
        approval=$(sed -n 's/.*waiting for approval \([0-9a-f-]*\).*/\1/p' "$held_output" | head -n 1)
    fi
}

tour_held_and_approved() {
    proof=postgres/held-and-approved
    local before after own shown got pids_seen
    before=$(truth 'SELECT revision FROM orders WHERE id = 7')
    hold 'SELECT pg_backend_pid()' "UPDATE orders SET status = 'shipped', revision = revision + 1 WHERE id = 7" 'SELECT pg_backend_pid()'
    if [[ -z $approval ]]; then
        kill "$held_pid" 2> /dev/null || true
        fail 'the UPDATE was not held' "$(cat "$held_output")"
        return
    fi
    sleep 0.3
    if [[ $(truth 'SELECT revision FROM orders WHERE id = 7') != "$before" ]]; then
        fail 'it ran before anybody approved'
        return
    fi
    own=$(approvals approve "$approval" --token "$agent" 2>&1) && own="accepted: $own"
    shown=$(approvals show "$approval" --token "$person" 2>&1)
    approvals approve "$approval" --token "$person" --comment 'seen on the tour' > "$scratch/approve" 2>&1 || true
    wait "$held_pid" || true
    got=$(cat "$held_output")
    approvals approve "$approval" --token "$person" > /dev/null 2>&1 && got+=' approved twice'
    after=$(truth 'SELECT revision FROM orders WHERE id = 7')
    pids_seen=$(grep -E '^[0-9]+$' <<< "$got")
    if has "$own" accepted:; then
        fail 'the requester approved it himself' "$own"
    elif ! has "$shown" 'revision = revision + 1'; then
        fail 'the approver does not see the statement' "$shown"
    elif ! has "$got" 'UPDATE 1'; then
        fail 'it did not run after it was approved' "$got"$'\n'"$(cat "$scratch/approve")"
    elif [[ $after -ne $((before + 1)) ]] || has "$got" 'approved twice'; then
        fail "it ran $((after - before)) times" "$got"
    elif [[ $(wc -l <<< "$pids_seen") -ne 2 || $(sort -u <<< "$pids_seen" | wc -l) -ne 1 ]]; then
        fail 'it did not go on over the same connection' "$got"
    else
        pass 'an UPDATE on orders waits and says so; its requester cannot approve it; dana, who sees the whole statement, can; it then runs once, on the same database connection'
    fi
}

tour_held_and_denied() {
    proof=postgres/held-and-denied
    local before got
    before=$(truth 'SELECT revision FROM orders WHERE id = 8')
    hold 'UPDATE orders SET revision = revision + 1 WHERE id = 8' "SELECT 'still ' || 'here'"
    if [[ -z $approval ]]; then
        kill "$held_pid" 2> /dev/null || true
        fail 'the UPDATE was not held' "$(cat "$held_output")"
        return
    fi
    approvals deny "$approval" --token "$person" --comment 'not on a Friday' > "$scratch/deny" 2>&1 || true
    wait "$held_pid" || true
    got=$(cat "$held_output")
    if ! has "$got" 42501 || ! has "$got" 'was denied by' || ! has "$got" dana; then
        fail 'the caller was not told that it was denied, and by whom' "$got"$'\n'"$(cat "$scratch/deny")"
    elif ! has "$got" 'still here'; then
        fail 'the session did not live on' "$got"
    elif [[ $(truth 'SELECT revision FROM orders WHERE id = 8') != "$before" ]]; then
        fail 'it ran although it was denied'
    else
        pass 'dana says no: the caller gets an error with her name and comment, nothing ran, the session lives on'
    fi
}

# Recordings are compressed: they are looked at as they are exported, byte for byte.
tour_secret_hidden() {
    proof=postgres/secret-hidden
    local secret session found
    secret=$(cat "$work/upstream-password")
    mkdir -p "$scratch/exports"
    for session in $(offline sessions list | cut -d' ' -f1); do
        offline sessions export "$session" --format pcapng -f "$scratch/exports/$session" 2> /dev/null || true
    done
    offline audit export -f "$scratch/exports/audit"
    if [[ ${#secret} -lt 40 || $(find "$scratch/exports" -type f -size +0 | wc -l) -lt 5 ]]; then
        fail 'there is too little to look at'
    elif found=$(grep -rlaF -e "$secret" -e "$(cat "$work/shop-password")" "$scratch/exports" "$work/state" "$work"/*.log "$work/doorward.toml"); then
        fail 'a password of a database is in files' "$found"
    # The same search must find what is there, or it proves nothing.
    elif ! grep -rqaF 'products' "$scratch/exports"; then
        fail 'the search would not have found it'
    elif found=$(grep -rlaF -e "${agent##*.}" "$scratch/exports" "$work/state" "$work"/*.log); then
        fail "the caller's token is in files" "$found"
    else
        pass 'neither the passwords of the databases nor the caller'"'"'s token is in the logs, the state folder, the recordings or the audit log'
    fi
}

tour_replayed() {
    proof=postgres/replayed
    local shown
    shown=$(offline sessions replay "$masked_session" --speed 0 2>&1) || true
    if ! has "$shown" 'SELECT email, card_number, ssn, notes FROM customers'; then
        fail 'the statement is not in the replay' "$shown"
    elif ! has "$shown" "$masked_email" || ! has "$shown" "$masked_card"; then
        fail 'the masked result is not in the replay' "$shown"
    elif has "$shown" "$(truth 'SELECT email FROM customers WHERE id = 3')"; then
        fail 'the replay shows what the caller was not allowed to see' "$shown"
    elif ! shown=$(offline sessions show "$masked_session" 2>&1); then
        fail 'the recording does not verify' "$shown"
    else
        pass 'a session plays back as statement and result table, masked as its caller saw it; the recording is whole'
    fi
}

tour_audit() {
    local shown copy=$scratch/audit place
    proof=audit/verified
    if shown=$(offline audit verify 2>&1); then
        pass "the chain and its signatures hold, checked with the public key alone: $(tail -n 1 <<< "$shown" | cut -d, -f1)"
    else
        fail 'the audit log does not verify' "$shown"
    fi
    proof=audit/tamper-found
    cp -r "$work/state/audit" "$copy"
    # The first entry that says who was refused a DROP: one letter of it.
    place=$(grep -abo 'DROP TABLE orders' "$copy/audit-00000001.log" | head -n 1 | cut -d: -f1)
    [[ -n $place ]] || place=$(($(stat -c %s "$copy"/audit-*.log | head -n 1) / 2))
    printf K | dd of="$(compgen -G "$copy/audit-*.log" | head -n 1)" bs=1 seek="$place" conv=notrunc status=none
    if shown=$(offline audit verify --dir "$copy" --key "$work/state/keys/signing-key.pub.pem" 2>&1); then
        fail 'a changed byte was not found' "$shown"
    elif ! has "$shown" TAMPERED:; then
        fail 'verify failed for another reason' "$shown"
    else
        pass "one byte changed in a copy of the log is found with nothing but the public key: $(grep -m1 TAMPERED: <<< "$shown")"
    fi
}

tour() {
    scratch=$(mktemp -d "$work/tour-XXXXXX")
    # A token that is dead by the time it is used.
    expired_token=$(token ci-bot ci 1s agents)
    expired_at=$(($(date +%s) + 2))
    agent=$(token ci-bot ci 1h agents analysts writers)
    person=$(token dana people 1h dba)
    masked_session='' masked_email='' masked_card=''
    # Each proof says itself how it went; a command that fails within one must not end the tour.
    set +e
    tour_allowed
    tour_masked
    tour_blocked_ddl
    tour_delete_needs_where
    tour_unidentified
    tour_held_and_approved
    tour_held_and_denied
    tour_mysql
    tour_ssh
    tour_kubernetes
    tour_web
    tour_secret_hidden
    tour_replayed
    tour_audit
    set -e
    printf '%s passed, %s failed\n' "$passed" "$failed"
    [[ $failed -eq 0 ]]
}
