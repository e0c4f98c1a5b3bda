#!/bin/sh
# A Slurm cluster on this one machine, for the tests: slurm.sh start | stop
# Two virtual nodes of 8 processors and 64 GB, the second with two GPUs that are none (/dev/null and /dev/zero); no
# accounting, no control groups. Needs root, and Debian's slurm-wlm and munge. The configuration has to be
# /etc/slurm/slurm.conf, since job steps do not inherit SLURM_CONF; one that is not ours is left alone.
set -eu

etc=/etc/slurm
state=/var/lib/reedit-slurm
mark='# Written by tests/cluster/slurm.sh of reedit; "slurm.sh stop" removes it.'

fail() { printf 'slurm.sh: %s\n' "$*" >&2; exit 1; }

is_ours() { [ "$(head -n 1 "$1" 2>/dev/null)" = "$mark" ]; }

check_place() {
    [ "$(id -u)" = 0 ] || fail "needs root: it writes $etc/slurm.conf and starts daemons"
    for command in munged slurmctld slurmd scontrol; do
        command -v "$command" >/dev/null || fail "no $command; on Debian: apt-get install slurm-wlm munge"
    done
    for file in "$etc/slurm.conf" "$etc/gres.conf"; do
        [ ! -e "$file" ] || is_ours "$file" || fail "$file is not ours: this machine has a Slurm of its own"
    done
}

configure() {
    host=$(hostname)
    mkdir -p "$etc" "$state/node1" "$state/node2"
    { echo "$mark"; cat; } >"$etc/slurm.conf" <<CONF
ClusterName=reedit
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$state
SlurmdSpoolDir=$state/%n
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/%n.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# the processors and the memory named below, whatever this machine has
SlurmdParameters=config_overrides
ReturnToService=1
# without accounting a finished job is known as long as this; squeue is asked for it
MinJobAge=3600
SchedulerParameters=sched_interval=2
KillWait=5
GresTypes=gpu
NodeName=node1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17001 CPUs=8 RealMemory=64000
NodeName=node2 NodeHostname=$host NodeAddr=127.0.0.1 Port=17002 CPUs=8 RealMemory=64000 Gres=gpu:2
PartitionName=all Nodes=node1,node2 Default=YES MaxTime=INFINITE
CONF
    { echo "$mark"; cat; } >"$etc/gres.conf" <<CONF
NodeName=node2 Name=gpu File=/dev/null
NodeName=node2 Name=gpu File=/dev/zero
CONF
}

start_munge() {
    munge -n >/dev/null 2>&1 && return
    mkdir -p /run/munge && chown munge:munge /run/munge
    runuser -u munge -- munged
    touch "$state/munge.ours"
}

nodes_are_idle() { [ "$(sinfo --noheader --Node --format=%T 2>/dev/null | grep -cx idle)" = 2 ]; }

start() {
    check_place
    ! is_ours "$etc/slurm.conf" || stop
    configure
    start_munge
    slurmctld
    slurmd -N node1
    slurmd -N node2
    for _ in $(seq 30); do
        ! nodes_are_idle || return 0
        sleep 1
    done
    for log in "$state"/*.log; do tail -n 5 "$log" >&2; done
    fail "the nodes did not come up, see above"
}

end_daemon() {
    pid=$(cat "$1" 2>/dev/null) || return 0
    case $(cat "/proc/$pid/comm" 2>/dev/null) in    # after a crash the number may be another process's
        slurmd | slurmctld) kill "$pid" ;;
        *) rm -f "$1" ;;
    esac
}

stop() {
    check_place
    is_ours "$etc/slurm.conf" || return 0
    for daemon in node1 node2 slurmctld; do
        end_daemon "$state/$daemon.pid"
    done
    for _ in $(seq 20); do
        ls "$state"/*.pid >/dev/null 2>&1 || break
        sleep 0.5
    done
    [ ! -e "$state/munge.ours" ] || runuser -u munge -- munged --stop >/dev/null
    rm -rf "$state" "$etc/slurm.conf" "$etc/gres.conf"
}

case ${1:-} in
    start | stop) "$1" ;;
    *) fail "say start or stop" ;;
esac
