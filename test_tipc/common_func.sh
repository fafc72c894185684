#!/usr/bin/env bash
# Shared by the TIPC scripts: reading a train_infer_python.txt and writing its log.

# lines FILE: the non-empty lines of a parameter file, into the array `lines`.
read_params() {
    mapfile -t lines < <(grep -v '^[[:space:]]*$' "$1")
}

# key N / value N: the parts of line N before and after the first colon.
key() { printf '%s' "${lines[$1]%%:*}"; }
value() { printf '%s' "${lines[$1]#*:}"; }

# by_mode TEXT MODE: the value of MODE in "mode_a=1|mode_b=2"; TEXT itself where no mode is named.
by_mode() {
    local part
    case "$1" in *=*) ;; *) printf '%s' "$1"; return ;; esac
    IFS='|' read -ra parts <<< "$1"
    for part in "${parts[@]}"; do
        if [ "${part%%=*}" = "$2" ]; then printf '%s' "${part#*=}"; fi
    done
}

# flag KEY VALUE: "KEY VALUE", "KEY=VALUE" for keys that end in "=", nothing where either is empty or null.
flag() {
    if [ -z "$1" ] || [ "$1" = null ] || [ -z "$2" ] || [ "$2" = null ]; then return; fi
    printf '%s %s' "$1" "$2"
}

# located COMMAND: COMMAND with its script where this checkout has it; PaddleSeg3D's are in its root.
located() {
    local script=${1%% *} here
    case "${script##*/}" in
        test.py) here="tools/val.py --split test" ;;
        infer.py) here=deploy/python/infer.py ;;
        *) here=tools/${script##*/} ;;
    esac
    if [ -f "$script" ] || [ ! -f "${here%% *}" ]; then here=$script; fi
    printf '%s%s' "$here" "${1#"$script"}"
}

# use_scripts_here NUMBER...: replace the commands on these lines by those of this checkout, and say it once for each.
use_scripts_here() {
    local number command script found said=" "
    for number in "$@"; do
        command=$(value "$number")
        script=${command%% *}
        found=$(located "$command")
        if [ "$found" = "$command" ]; then continue; fi
        lines[number]="$(key "$number"):$found"
        case "$said" in *" $script "*) continue ;; esac
        said="$said$script "
        echo "note: there is no $script; ${found%"${command#"$script"}"} is run in its place" | tee -a "$status_log"
    done
}

# has_gpu: whether Paddle sees one.
has_gpu() {
    "$python" -c "import sys, paddle; sys.exit(not paddle.is_compiled_with_cuda() or paddle.device.cuda.device_count() < 1)" 2> /dev/null
}

failures=0

# run COMMAND LOG: run it with its output in LOG, and note in results_python.log how it ended.
run() {
    local status=0
    printf '%s\n' "$1"
    bash -c "$1" > "$2" 2>&1 || status=$?
    if [ "$status" -eq 0 ]; then
        printf '\033[33m Run successfully with command - %s - %s!  \033[0m\n' "$model_name" "$1" | tee -a "$status_log"
    else
        printf '\033[33m Run failed with command - %s - %s!  \033[0m\n' "$model_name" "$1" | tee -a "$status_log"
        tail -n 20 "$2"
        failures=$((failures + 1))
    fi
    return "$status"
}
