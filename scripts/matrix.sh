# The loop of a client matrix, for scripts/run-client-matrix, run-mysql-matrix and run-ssh-matrix to source. They name their
# clients in the array `all` and run one by the function `run`.

run_matrix() {
    # `timeout` ends a process group, and wants a program: this script once more, for one client.
    if [[ ${1:-} == --one ]]; then
        run "$2"
        exit
    fi

    wanted=("$@")
    [[ ${#wanted[@]} -gt 0 ]] || wanted=("${all[@]}")
    table=() passed=0 failed=0
    for client in "${wanted[@]}"; do
        begun=$(date +%s%N)
        output=$(timeout -k 5 "${E2E_TIMEOUT:-120}" "$0" --one "$client" 2>&1)
        status=$?
        took=$((($(date +%s%N) - begun) / 1000000))
        while IFS= read -r line; do [[ -z $line ]] || printf '%s: %s\n' "$client" "$line"; done <<< "$output"
        ok=$(grep -c '^ok ' <<< "$output")
        bad=$(grep -c '^FAIL ' <<< "$output")
        skipped=$(grep -c '^skip ' <<< "$output")
        # One that died without a word about it, or did nothing, has failed.
        if [[ $bad -eq 0 && ($status -ne 0 || $ok -eq 0) ]]; then
            bad=1
            printf '%s: FAIL exit: ended with status %d%s\n' "$client" "$status" "$([[ $status -eq 124 ]] && echo ' (out of time)')"
        fi
        verdict=passed
        [[ $bad -eq 0 && $status -eq 0 ]] || verdict=FAILED
        passed=$((passed + ok)) failed=$((failed + bad))
        table+=("$(printf '%-15s %6d %6d %6d %8d  %s' "$client" "$ok" "$bad" "$skipped" "$took" "$verdict")")
    done
    printf '\n%-15s %6s %6s %6s %8s\n' client ok failed skip ms
    printf '%s\n' "${table[@]}"
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [[ $failed -eq 0 && $passed -gt 0 ]]
}
