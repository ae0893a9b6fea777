#!/usr/bin/env bash
# Runs Debian's Prometheus and Alertmanager with what is in dashboards/, on loopback, against one agent, until Ctrl-C.
# Variables, on make's command line or from the environment:
#   AGENT=HOST:PORT            where the agent's /metrics is        [127.0.0.1:8080]
#   INSTANCE=NAME              what the device is called            [what the agent says, else the host name]
#   PROMETHEUS_PORT=NUMBER     [9090]
#   ALERTMANAGER_PORT=NUMBER   [9093]
#   MONITORING_DIR=FOLDER      samples, alerts and logs             [.cache/monitoring]
set -euo pipefail

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
agent=${AGENT:-127.0.0.1:8080}
prometheus_port=${PROMETHEUS_PORT:-9090}
alertmanager_port=${ALERTMANAGER_PORT:-9093}
folder=${MONITORING_DIR:-$root/.cache/monitoring}
pids=()

fail() {
    printf '%s\n' "$@" >&2
    exit 2
}

check_programs() {
    local program missing=()
    for program in prometheus prometheus-alertmanager; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    ((${#missing[@]} == 0)) ||
        fail "Missing on this system: ${missing[*]} (as Debian names them)." \
            "Install them, then run make again:  sudo apt-get update && sudo apt-get install -y ${missing[*]}"
}

# They are written into JSON below, so only what needs no quoting there may pass.
check_variables() {
    [[ $agent =~ ^[A-Za-z0-9._:-]+:[0-9]+$ || $agent =~ ^\[[0-9A-Fa-f:]+\]:[0-9]+$ ]] ||
        fail "AGENT=$agent is not HOST:PORT, such as 127.0.0.1:8080."
    instance=${INSTANCE:-$(device_name)}
    instance=${instance:-${HOSTNAME%%.*}}
    [[ $instance =~ ^[A-Za-z0-9._-]{1,128}$ ]] ||
        fail "INSTANCE=$instance is no name: use letters, digits and ._- (128 at most)."
    check_port PROMETHEUS_PORT "$prometheus_port"
    check_port ALERTMANAGER_PORT "$alertmanager_port"
    check_port_is_free PROMETHEUS_PORT "$prometheus_port"
    check_port_is_free ALERTMANAGER_PORT "$alertmanager_port"
}

# What the agent calls its device, or nothing: /status may be on another port than /metrics. So it has the same name here
# as wherever else it is watched from.
device_name() {
    local host=${agent%:*} line
    host=${host#[}
    { exec 3<>"/dev/tcp/${host%]}/${agent##*:}"; } 2>/dev/null || return 0
    printf 'GET /status HTTP/1.0\r\n\r\n' >&3
    while IFS= read -r -t 5 line <&3 || [[ -n $line ]]; do
        if [[ $line =~ \"instance\":\"([A-Za-z0-9._-]+)\" ]]; then
            printf '%s' "${BASH_REMATCH[1]}"
            return
        fi
    done
}

check_port() {
    if [[ ! $2 =~ ^[1-9][0-9]{0,4}$ ]] || (($2 > 65535)); then
        fail "$1=$2 is not a port: use 1 to 65535."
    fi
}

check_port_is_free() {
    ! is_listening "$2" ||
        fail "Port $2 on 127.0.0.1 is taken; if Debian's own service has it, end that:" \
            "  sudo systemctl disable --now prometheus prometheus-alertmanager" \
            "or choose another:  make monitoring $1=NUMBER"
}

is_listening() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The example as it is, in a folder tree like the one that it expects: its relative paths lead to the rules, and to the one
# target. Only Alertmanager's address is another when its port is.
write_configuration() {
    local example
    mkdir -p "$folder/dashboards" "$folder/dist/file_sd"
    example=$(<"$root/dashboards/prometheus.yml")
    printf '%s\n' "${example//127.0.0.1:9093/127.0.0.1:$alertmanager_port}" >"$folder/dashboards/prometheus.yml"
    ln -sfn "$root/dashboards/rules" "$folder/dashboards/rules"
    printf '[{"targets": ["%s"], "labels": {"instance": "%s"}}]\n' "$agent" "$instance" \
        >"$folder/dist/file_sd/edge-agent.json"
}

start() {
    local program=$1
    shift
    "$program" "$@" >"$folder/$program.log" 2>&1 </dev/null &
    pids+=($!)
}

# shellcheck disable=SC2317 # called by the trap
stop() {
    kill "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" 2>/dev/null || true
}

wait_until_listening() {
    local program=$1 pid=$2 port=$3
    until is_listening "$port"; do
        if ! kill -0 "$pid" 2>/dev/null; then
            tail -n 20 "$folder/$program.log" >&2
            fail "$program has ended; its last lines are above."
        fi
        sleep 0.2
    done
}

check_programs
check_variables
write_configuration
trap stop EXIT
trap 'exit 0' INT TERM
start prometheus-alertmanager "--config.file=$root/dashboards/alertmanager.yml" \
    "--storage.path=$folder/alertmanager" "--web.listen-address=127.0.0.1:$alertmanager_port" --cluster.listen-address=
start prometheus "--config.file=$folder/dashboards/prometheus.yml" "--storage.tsdb.path=$folder/prometheus" \
    --storage.tsdb.retention.time=7d "--web.listen-address=127.0.0.1:$prometheus_port" \
    --web.enable-remote-write-receiver
wait_until_listening prometheus-alertmanager "${pids[0]}" "$alertmanager_port"
wait_until_listening prometheus "${pids[1]}" "$prometheus_port"
cat <<END
Prometheus:    http://127.0.0.1:$prometheus_port/classic/alerts   (scrapes http://$agent/metrics as $instance)
Alertmanager:  http://127.0.0.1:$alertmanager_port
Dashboards:    import dashboards/*.json into a Grafana whose data source is this Prometheus
Data and logs: $folder
Ctrl-C ends both.
END
# Not `wait -n`, which waits for ever when one of them ended before it.
while kill -0 "${pids[0]}" 2>/dev/null && kill -0 "${pids[1]}" 2>/dev/null; do
    sleep 0.5
done
tail -n 20 "$folder"/*.log >&2
echo "One of the two has ended by itself; the last lines of both are above." >&2
exit 1
