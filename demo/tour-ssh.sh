# The SSH part of the tour of ./quickstart: functions to source, as demo/tour.sh.

# OpenSSH's own client, with the token as its answer to the one question there is.
ssh_options() {
    printf '%s\n' -F none -p "$web_port" -o "UserKnownHostsFile=$work/known_hosts" -o StrictHostKeyChecking=yes \
        -o PubkeyAuthentication=no -o NumberOfPasswordPrompts=1 -o LogLevel=INFO
}
with_token() {
    DOORWARD_TOKEN=$agent SSH_ASKPASS=$repo/e2e/clients/openssh/askpass SSH_ASKPASS_REQUIRE=force timeout 40 "$@" < /dev/null
}
on_web() {
    local options
    mapfile -t options < <(ssh_options)
    with_token ssh "${options[@]}" ci-bot@localhost "$@" 2>&1
}

tour_ssh_allowed() {
    proof=ssh/allowed
    local got status
    got=$(on_web "wc -l < $socket_dir/web/orders.txt; ls $socket_dir/web/nowhere")
    status=$?
    if [[ $status -eq 2 ]] && has "$got" 2 && ! has "$got" 'doorward: '; then
        pass 'ssh runs a command through the gateway with a token as its password; output and exit status are those of the command'
    else
        fail "a command gave something else (status $status)" "$got"
    fi
}

tour_ssh_masked() {
    proof=ssh/masked
    local got file=$socket_dir/web/orders.txt
    got=$(on_web "cat $file; head -c 45 $file; sleep 0.2; tail -c +46 $file")
    if has "$got" '1111 1111' || has "$got" ada@example.com || has "$got" 5500-0000; then
        fail 'a value came through' "$got"
    elif [[ $(grep -c 'Ada Lovelace' <<< "$got") -ne 2 ]]; then
        fail 'the rest of the text is not what it was' "$got"
    else
        pass 'card numbers and e-mail addresses that a program prints are masked, also where the bytes come cut in two'
    fi
}

tour_ssh_blocked() {
    proof=ssh/blocked
    local got command
    for command in 'curl http://localhost' 'cat /etc/passwd' "x=curl; \$x localhost" 'echo aWQ= | base64 -d | sh' 'sudo id' 'bash -i'; do
        got=$(on_web "$command")
        if [[ $? -ne 126 ]] || ! has "$got" 'doorward: '; then
            fail "\`$command\` was not refused with status 126" "$got"
            return
        fi
    done
    got=$(on_web -W localhost:1)
    if ! has "$got" prohibited; then
        fail 'a forward was not refused' "$got"
    elif got=$(on_web -T); [[ $? -ne 126 ]]; then
        fail 'a shell was not refused' "$got"
    else
        pass 'other programs, also behind variables and pipes, files elsewhere, sudo, a shell and a forward are refused with a reason and status 126'
    fi
}

tour_ssh_files() {
    proof=ssh/files
    local options got there=$socket_dir/web
    mapfile -t options < <(ssh_options)
    options[2]=-P
    printf 'nothing private\n' > "$scratch/plain"
    got=$(with_token scp "${options[@]}" "$scratch/plain" "ci-bot@localhost:$there/plain" 2>&1 &&
        with_token scp "${options[@]}" "ci-bot@localhost:$there/plain" "$scratch/back" 2>&1)
    if ! cmp -s "$scratch/plain" "$scratch/back"; then
        fail 'a file did not go there and back' "$got"
    elif got=$(with_token scp "${options[@]}" "ci-bot@localhost:$there/orders.txt" "$scratch/secret" 2>&1); then
        fail 'a file with card numbers was handed out' "$got"
    elif got=$(with_token scp "${options[@]}" "ci-bot@localhost:/etc/passwd" "$scratch/secret" 2>&1); then
        fail '/etc/passwd was handed out' "$got"
    else
        pass 'scp copies a file there and back; one that holds card numbers, and one elsewhere, are not handed out'
    fi
}

tour_ssh_held() {
    proof=ssh/held-and-approved
    local output=$scratch/ssh-held got pid status
    on_web 'systemctl --version' > "$output" &
    pid=$!
    approved_by_another "$output" "$pid" systemctl || return 0
    got=$(cat "$output")
    # Whether systemctl is there is for this machine to say: what counts is that it was run.
    if has "$got" approved && [[ $status -eq 0 || $status -eq 127 ]]; then
        pass 'a command waits and says so; dana approves; it goes on over the same connection, and its exit status is its own'
    else
        fail "it did not run after it was approved (status $status)" "$got"
    fi
}

tour_ssh_replayed() {
    proof=ssh/replayed
    local shown=
    # The session of ssh/masked: the newest but those that came after it.
    for session in $(offline sessions list | cut -d' ' -f1 | head -n 20); do
        shown=$(offline sessions replay "$session" --speed 0 2>&1)
        if has "$shown" 'tail -c +46' && has "$shown" 'Ada Lovelace'; then break; fi
        shown=
    done
    if [[ -z $shown ]]; then
        fail 'no recording has the command and its output'
    elif has "$shown" '1111 1111' || has "$shown" ada@example.com; then
        fail 'the replay shows what the caller was not allowed to see' "$shown"
    else
        pass 'a session plays back as command, decision and output, masked as its caller saw it'
    fi
}

tour_ssh() {
    if [[ -z ${web_port:-} ]]; then return; fi
    printf '[localhost]:%s %s\n' "$web_port" "$(cut -d' ' -f1,2 "$work/state/keys/ssh_host_ed25519_key.pub")" > "$work/known_hosts"
    tour_ssh_allowed
    tour_ssh_masked
    tour_ssh_blocked
    tour_ssh_files
    tour_ssh_held
    tour_ssh_replayed
}
