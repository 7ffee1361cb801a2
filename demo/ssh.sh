# The private SSH server of ./quickstart: functions to source. They use $work, $socket_dir, say, die, start, free_port and
# until_ready of that script, and the account of demo/database.sh. OpenSSH's own sshd, on loopback, for one account, with
# keys that are made anew at each run.

start_ssh_server() {
    local home=$socket_dir sshd
    sshd=$(command -v sshd || echo /usr/sbin/sshd)
    mkdir -p "$home/web"
    ssh-keygen -q -t ed25519 -N '' -C demo -f "$home/ssh_host_key"
    ssh-keygen -q -t ed25519 -N '' -C doorward -f "$home/gateway_key"
    # The gateway alone has the private key; the server has the public one.
    (umask 077 && mv "$home/gateway_key" "$work/web-key")
    printf '%s\n' 'order 17  Ada Lovelace  ada@example.com  4111 1111 1111 1111  shipped' \
        'order 18  Alan Turing   alan@example.org  5500-0000-0000-0004  open' > "$home/web/orders.txt"
    free_port 2222 && ssh_port=$found_port
    cat > "$home/sshd_config" << END
ListenAddress 127.0.0.1
Port $ssh_port
HostKey $home/ssh_host_key
AuthorizedKeysFile $home/gateway_key.pub
AuthenticationMethods publickey
AllowUsers $database_account
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
END
    [[ $EUID -ne 0 ]] || chown -R "$database_account" "$home"
    host_key=$(cut -d' ' -f1,2 "$home/ssh_host_key.pub")
    local command=("$sshd" -D -e -f "$home/sshd_config")
    if [[ $EUID -eq 0 ]]; then
        start "$work/sshd.log" env -C / setpriv --reuid postgres --regid postgres --init-groups --pdeathsig TERM -- "${command[@]}"
    else
        start "$work/sshd.log" "${command[@]}"
    fi
    until_ready sshd "$started" "$work/sshd.log" grep -q 'Server listening' "$work/sshd.log"
}
