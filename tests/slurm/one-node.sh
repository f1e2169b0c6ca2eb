#!/bin/bash
# A Slurm of one node, without root, systemd and database (Debian's slurmctld, slurmd, slurm-client and munge, 22.05 or later).
#
#     tests/slurm/one-node.sh start FOLDER [PORT]    then: export SLURM_CONF=FOLDER/slurm.conf
#     tests/slurm/one-node.sh stop FOLDER
#     tests/slurm/one-node.sh slurmctld|slurmd FOLDER    (starts a daemon that was killed)
#
# Two partitions: jobs of `high` preempt those of `low`, the default. 64 cores are pretended, so that many jobs run at once.
set -euo pipefail
action=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
port=${3:-26817}
host=$(hostname -s)
user=$(id -un)
export SLURM_CONF=$folder/slurm.conf PATH=$PATH:/usr/sbin

stop() {
    for daemon in slurmd slurmctld munged; do
        [ -f "$folder/run/$daemon.pid" ] && kill "$(cat "$folder/run/$daemon.pid")" 2>/dev/null || true
    done
}

case $action in
stop) stop; exit ;;
slurmctld) slurmctld -f "$SLURM_CONF"; exit ;;
slurmd) slurmd -f "$SLURM_CONF"; exit ;;
esac

mkdir -p "$folder"/{state,spool,log,run}
chmod 755 "$folder" "$folder/run"
if [ ! -s "$folder/munge.key" ]; then
    dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 2>/dev/null
    chmod 400 "$folder/munge.key"
fi
munged --key-file="$folder/munge.key" --socket="$folder/run/munge.socket" --pid-file="$folder/run/munged.pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/run/munged.seed"
cat >"$SLURM_CONF" <<C
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.socket,cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.pid
SlurmdSpoolDir=$folder/spool
StateSaveLocation=$folder/state
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MinJobAge=3600
KillWait=3
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=64 Boards=1 SocketsPerBoard=1 CoresPerSocket=64 ThreadsPerCore=1 RealMemory=16000 State=UNKNOWN
PartitionName=low Nodes=$host Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes=$host MaxTime=INFINITE State=UP PriorityTier=10
C
printf 'CgroupAutomount=no\nIgnoreSystemd=yes\n' >"$folder/cgroup.conf"
slurmctld -i -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF"
for _ in $(seq 1 200); do
    sinfo --noheader --format=%T 2>/dev/null | grep -q idle && exit
    sleep 0.05
done
echo "the node of Slurm did not become idle; see $folder/log" >&2
stop
exit 1
