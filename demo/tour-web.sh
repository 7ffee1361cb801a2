# The control room's part of the tour of ./quickstart: functions to source, as demo/tour.sh. The pages as a browser
# without script uses them: cookies, links and forms, by curl.

# browse WHO PATH [FIELD=VALUE…]: gets a page, or sends a form to it; follows where it leads. Each WHO is a browser of its own.
browse() {
    local jar=$scratch/browser-$1 path=$2 field fields=()
    shift 2
    for field in "$@"; do fields+=(--data-urlencode "$field"); done
    [[ ${#fields[@]} -eq 0 ]] || fields+=(-H "Origin: http://127.0.0.1:$api_port")
    curl -sS -L --max-time 30 -b "$jar" -c "$jar" "${fields[@]}" "http://127.0.0.1:$api_port$path" 2>&1
}

tour_web_signed_in() {
    proof=web/signed-in
    local stranger got again
    stranger=$(browse nobody /audit)
    got=$(browse admin /auth/bootstrap "code=${sign_in_link##*code=}")
    again=$(browse thief /auth/bootstrap "code=${sign_in_link##*code=}")
    browse dana /sign-in "token=$person" > /dev/null
    if ! has "$stranger" 'Your identity token'; then
        fail 'who is not signed in does not come to the sign-in page' "$stranger"
    elif ! has "$got" local/admin || ! has "$got" '>Overview</h1>'; then
        fail 'the first administrator did not come in by the link' "$got"
    elif has "$again" local/admin || ! has "$again" 'was used before'; then
        fail 'the link was good twice' "$again"
    elif ! has "$(browse dana /approvals)" people/dana; then
        fail 'dana did not come in with her token'
    else
        pass 'the first administrator comes in by a link that is good once, dana with the token of her issuer, nobody without either'
    fi
}

tour_web_approved() {
    proof=web/approved
    local before shown own got
    before=$(truth 'SELECT revision FROM orders WHERE id = 9')
    hold "UPDATE orders SET status = 'shipped', revision = revision + 1 WHERE id = 9 /* <script>1</script> */"
    if [[ -z $approval ]]; then
        kill "$held_pid" 2> /dev/null || true
        fail 'the UPDATE was not held' "$(cat "$held_output")"
        return
    fi
    shown=$(browse dana "/approvals/$approval")
    own=$(browse admin "/approvals/$approval/approve" 'comment=mine')
    got=$(browse dana "/approvals/$approval/approve" 'comment=seen on the page')
    wait "$held_pid" || true
    if ! has "$shown" 'revision = revision + 1 WHERE id = 9' || has "$shown" '<script>1'; then
        fail 'the page does not show the statement, or not as text' "$shown"
    elif has "$own" 'Your approval is recorded'; then
        fail 'somebody decided it who is not asked' "$own"
    elif ! has "$got" 'Your approval is recorded' || ! has "$(cat "$held_output")" 'UPDATE 1'; then
        fail 'it did not run after it was approved on the page' "$got"$'\n'"$(cat "$held_output")"
    elif [[ $(truth 'SELECT revision FROM orders WHERE id = 9') -ne $((before + 1)) ]]; then
        fail 'it did not run once' "$(cat "$held_output")"
    elif ! has "$(browse admin '/audit?event=approval_decided')" 'seen on the page'; then
        fail 'the audit page does not have the verdict'
    else
        pass 'dana opens the page of a waiting UPDATE, sees the statement as text, says yes with a comment, and psql goes on; the audit page has it'
    fi
}

tour_web_policy() {
    proof=web/policy
    local text got wrong tested refused
    text='@id("tour-stock-taking") @reason("stock-taking") forbid (principal, action == Action::"select", resource == Table::"orders/public.products");'
    wrong=$(browse admin /policies/versions 'text=permit (principal, acton, resource);')
    got=$(browse admin /policies/versions "text=$text" 'comment=on the tour')
    version=$(grep -o '/policies/versions/[0-9]*/back-test' <<< "$got" | head -n 1 | tr -cd 0-9)
    tested=$(browse admin "/policies/versions/$version/back-test" days=1)
    browse admin /policies/activate what=enforce "page=$version" 'comment=on the tour' > /dev/null
    refused=$(ask tour 'SELECT count(*) FROM products')
    browse admin /policies/activate what=files "page=$version" 'comment=on the tour' > /dev/null
    got=$(ask tour 'SELECT count(*) FROM products')
    if ! has "$wrong" 'Nothing was saved' || ! has "$wrong" 'line 1, column'; then
        fail 'a text that is wrong was taken, or its place is not said' "$wrong"
    elif [[ -z $version ]] || ! grep -Eq '<strong>[1-9][0-9]*</strong> of [0-9]+ requests' <<< "$tested"; then
        fail 'the back-test does not find the SELECTs of this tour' "$tested"
    elif ! has "$refused" tour-stock-taking; then
        fail 'the version was not in force' "$refused"
    elif [[ $got != 60 && $got != $(truth 'SELECT count(*) FROM products') ]]; then
        fail 'it was not rolled back' "$got"
    else
        pass "a version is written on the page (errors with line and column), back-tested over what this tour asked, put in force (\`SELECT\` refused), and rolled back"
    fi
}

tour_web_audit() {
    proof=web/audit
    local lines shown
    lines=$(browse admin '/audit.jsonl?event=approval_decided')
    shown=$(browse admin /audit/verify)
    if ! has "$shown" intact; then
        fail 'the chain is not intact by the page' "$shown"
    elif ! has "$(tail -n 1 <<< "$lines")" '"comment":"seen on the page"'; then
        fail 'the download does not end with the newest verdict' "$(tail -n 1 <<< "$lines")"
    elif has "$(browse dana '/audit.jsonl')" '"entry"'; then
        fail 'it was downloaded by somebody who may not'
    else
        pass "the audit log is filtered, verified and downloaded on the page, by those who may: $(wc -l <<< "$lines") verdicts"
    fi
}

tour_web() {
    tour_web_signed_in
    tour_web_approved
    tour_web_policy
    tour_web_audit
}
