# What a person does with a bundle and no engine.  The format is that of docker.sh.

### a bundle of spec runs unchanged
#= pid 1
#= status 0
mkdir -p $DIR/bundles/own; cd $DIR/bundles/own; $RUNTIME_PATH spec; ln -s $ROOTFS rootfs 2>/dev/null; rm rootfs
cp -a $ROOTFS rootfs
$HERE/tools/terminal run 'wait # |type echo pid $$; exit\n' $RUNTIME_PATH --root $DIR/state run -b $DIR/bundles/own \
    own | grep -E '^(pid|status)' | tr -d '<CR>'
cd $DIR; nothing_left

### the lifecycle: create, start, kill, delete
#= created
#= running
#= stopped
#= nothing left
bundle box '.process.args = ["sleep", "100"]'
rt_create box; echo "create $?"; status_of box; rt start box; echo "start $?"; status_of box
rt kill box KILL; until_stopped box; status_of box; rt delete box; echo "delete $?"
message state box; nothing_left

### what state and list say
#= ociVersion
bundle box '.process.args = ["sleep", "100"] | .annotations = {"a.b": "c"}'
rt_create box
rt state box | jq -S 'keys, .annotations, .status, (.pid > 0), .bundle, .rootfs, .owner'
rt list | sed -E 's/ +/ /g; s/ [0-9]+ / PID /; s/ 20[^ ]*Z/ TIME/'
rt list -q; rt list -f json | jq -S '.[0] | keys'
rt start box; rt kill box 9; until_stopped box; rt state box | jq .pid; rt delete box; rt list -f json

### messages and statuses of what cannot be done
#= container does not exist
#= container with given ID already exists
#= invalid container ID format
#= cannot delete container box that is not stopped: running
#= cannot start an already running container
#= container not running
#= cannot start a container that has stopped
bundle box '.process.args = ["sleep", "100"]'
message start nobody; message kill nobody; message delete nobody; message exec nobody true; message pause nobody
rt delete --force nobody; echo "delete --force $?"
message create -b $DIR/bundles/box 'a/b'; message create -b $DIR/bundles/box ..
rt_create box; message create -b $DIR/bundles/box box
rt start box; message start box; message delete box; message resume box
rt kill box 9; until_stopped box
message kill box; message start box; message exec box true

### exit statuses of run and exec
#= status 7
#= status 137
#= status 255
box seven 'exit 7'; says rt_run seven
box killed 'kill -9 $$' '.linux.namespaces |= map(select(.type != "pid"))'; says rt_run killed
bundle box '.process.args = ["sleep", "100"]'; rt_create box; rt start box
says rt exec box sh -c 'exit 3'
says rt exec box sh -c 'kill -9 $$'
rt exec box nosuch >/dev/null 2>&1; echo "status $?"
bundle none '.process.args = ["nosuch"]'; rt_run none >/dev/null 2>&1; echo "status $?"

### what cannot be executed
#= executable file not found in $PATH
#= no such file or directory
#= permission denied
#~ loose
for program in nosuch /no/such /etc /data/text /bin/garbage; do bundle box ".process.args = [\"$program\"]"
    message run -b $DIR/bundles/box box; done
nothing_left

### a terminal has the size of the person's, follows it, and has no carriage returns added
#= 30 100
#= 40 120
#= status 3
box box 'stty size; echo ready; read x; stty size; printf "one\ntwo\n"; exit 3' '.process.terminal = true'
$HERE/tools/terminal run 'wait ready|resize 40 120|type \n' $RUNTIME_PATH --root $DIR/state run -b $DIR/bundles/box box

### Ctrl-C and Ctrl-Z reach the program
#= got INT
#= got TSTP
box box 'trap "echo got INT" INT; trap "echo got TSTP" TSTP; echo ready; n=0; while [ $n -lt 2 ]; do n=$((n + 1));
    read x; done; exit 4' '.process.terminal = true'
$HERE/tools/terminal run 'wait ready|type \x03|wait INT|type \x1a|wait TSTP|type \n\n' $RUNTIME_PATH --root $DIR/state \
    run -b $DIR/bundles/box box | grep -oE 'got INT|got TSTP|status .*'

### signals to run reach the program
#= got TERM
#= status 9
box box 'trap "echo got TERM; exit 9" TERM; echo ready; while :; do sleep 0.1; done'
rt_run box > $DIR/bundles/box/log 2>&1 & job=$!
until_true 10 grep -q ready $DIR/bundles/box/log
kill -TERM $(pgrep -f "^$RUNTIME_PATH --root $DIR/state run" | head -1); wait $job; echo "status $?"
cat $DIR/bundles/box/log

### a console socket is sent the terminal
#= received 1 descriptor, a terminal
#= 30 100
box box 'read x; stty size; tty' '.process.terminal = true'
$HERE/tools/terminal receive $DIR/bundles/box/console 'type \n' > $DIR/bundles/box/log & job=$!
until_true 10 test -S $DIR/bundles/box/console
rt create --console-socket $DIR/bundles/box/console -b $DIR/bundles/box box; rt start box; wait $job
cat $DIR/bundles/box/log

### the rules of terminals and sockets
#= status 1
bundle box '.process.args = ["true"] | .process.terminal = true'; message create -b $DIR/bundles/box box
bundle box '.process.args = ["true"]'; message create --console-socket /nowhere -b $DIR/bundles/box box

### pid file, preserved descriptors, activation sockets
#= from outside
#= LISTEN_FDS=1
bundle box '.process.args = ["sleep", "100"]'; rt_create box --pid-file $DIR/bundles/box/pid
[ "$(cat $DIR/bundles/box/pid)" = "$(pid_of box)" ] && echo same pid; wc -l < $DIR/bundles/box/pid
box fds 'cat <&3; ls /proc/self/fd | wc -l'; echo from outside > $DIR/bundles/fds/file
rt_run fds --preserve-fds 1 3< $DIR/bundles/fds/file
box listen 'env | grep ^LISTEN | sort; cat <&3'; echo from systemd > $DIR/bundles/listen/file
bash -c 'export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"' listen $RUNTIME_PATH --root $DIR/state run \
    -b $DIR/bundles/listen listen 3< $DIR/bundles/listen/file

### detach and keep
#= kept stopped
bundle box '.process.args = ["sleep", "100"]'; rt run -d -b $DIR/bundles/box box >/dev/null 2>&1 </dev/null
status_of box
box kept 'exit 2' ; rt run --keep -b $DIR/bundles/kept kept; echo "status $?"; echo "kept $(status_of kept)"

### the OOM score is the program's, also in exec, and not the runtime's
#= 300 300
#= as before
bundle box '.process.args = ["sleep", "100"] | .process.oomScoreAdj = 300'; before=$(cat /proc/self/oom_score_adj)
rt run -b $DIR/bundles/box box > /dev/null 2>&1 < /dev/null & job=$!
sleeps() { [ "$(cat /proc/$(pid_of box 2> /dev/null)/comm 2> /dev/null)" = sleep ]; }; until_true 10 sleeps
echo "$(cat /proc/$(pid_of box)/oom_score_adj) $(rt exec box cat /proc/self/oom_score_adj)"
runtime=$(awk '/^PPid:/ { print $2 }' /proc/$(pid_of box)/status)
[ "$(cat /proc/$runtime/oom_score_adj)" = "$before" ] && echo as before
rt kill box KILL; wait $job

### a container that has too little memory to be made is an error, and exec in one that has little works
#= status 1
#= within
for limit in 40960 90112; do
    bundle box ".process.args = [\"sleep\", \"100\"] | .linux.resources.memory.limit = $limit"
    message run -b $DIR/bundles/box box; done
bundle box '.process.args = ["sleep", "100"] | .linux.resources.memory.limit = 6291456'; rt_create box; rt start box
for n in $(seq 20); do rt exec box echo within; done | uniq; status_of box
#~ loose

### with next to no memory the process is in its memory cgroup, and sees it as the root, all the same
#= created true
#= running true
#= memory:/
bundle box '.process.args = ["sh", "-c", "grep memory /proc/self/cgroup | cut -d: -f2-; sleep 100"] |
    .linux.resources.memory.limit = 4194304'
there() { echo "$(rt state box | jq -r .status) $(grep -q ":memory:.*/box\$" /proc/$(pid_of box)/cgroup && echo true)"
    }
rt create -b $DIR/bundles/box box > $DIR/bundles/box/out 2>&1 < /dev/null; there; rt start box
until [ -s $DIR/bundles/box/out ]; do sleep 0.1; done; there; cat $DIR/bundles/box/out; rt delete --force box
#~ loose

### no file may be written: the program and exec run all the same
#= 0
limit='.process.rlimits = [{"type": "RLIMIT_FSIZE", "hard": 0, "soft": 0}]'
ids='.linux.namespaces += [{"type": "user"}] | .linux.uidMappings = [{"containerID": 0, "hostID": 0, "size": 65536}] |
    .linux.gidMappings = .linux.uidMappings'
for more in . "$ids"; do
    bundle box ".process.args = [\"sh\", \"-c\", \"ulimit -f\"] | $limit | $more"
    rt run -b $DIR/bundles/box box 2>&1 < /dev/null | cat
    bundle box ".process.args = [\"sleep\", \"100\"] | $limit | $more"
    rt run -d -b $DIR/bundles/box box > /dev/null 2>&1 < /dev/null
    rt exec box sh -c 'ulimit -f' | cat; rt delete --force box; done

### signals by name and number
#= 143
for signal in TERM SIGTERM term 15; do
    bundle box '.process.args = ["sleep", "100"] | .linux.namespaces |= map(select(.type != "pid"))'; rt_create box
    rt start box
    rt kill box $signal; until_stopped box; echo "$signal $?"; rt delete box; done
bundle box '.process.args = ["sleep", "100"]'; rt_create box; message kill box NOSUCH; echo 143

### config.json removed after create changes nothing
#= as created
box box 'echo as created'; rt_create box; rm $DIR/bundles/box/config.json; rt start box; until_stopped box; output box
rt delete box; nothing_left

### hooks run in order with the state on standard input
#= createRuntime creat
#= createContainer creat
#= poststart
#= poststop stopped
#~ loose
hooks=
for hook in prestart createRuntime createContainer startContainer poststart poststop; do
    hooks="$hooks | .hooks.$hook = [{path: \"/bin/sh\", args: [\"sh\", \"-c\",
        \"s=\$(cat); echo $hook \$(echo \$s | grep -o '\\\"status\\\": *\\\"[a-z]*' |
        cut -d'\\\"' -f4) >> $DIR/bundles/box/hooks || true\"], env: [\"PATH=/usr/bin:/bin\"]}]"; done
box box true ".${hooks# | .}"
rt_create box; rt start box; until_stopped box; rt delete box; cat $DIR/bundles/box/hooks

### a hook that fails
#= status 1
for hook in prestart createRuntime; do
    box box true ".hooks.$hook = [{path: \"/bin/false\"}]"; rt_create box; echo "$hook status $?"
    rt delete --force box; done
box box 'echo ran' '.hooks.poststart = [{path: "/bin/false"}]'; rt_run box >/dev/null 2>&1; nothing_left

### a hook that hangs is ended by its timeout
#= status 1
box box true '.hooks.createRuntime = [{path: "/bin/sleep", args: ["sleep", "100"], timeout: 1}]'; rt_create box
echo "status $?"; rt delete --force box; nothing_left

### start of a container whose program cannot be executed is an error, and so is a second start
#~ loose
#= start 1
#= second 1
box box true '.process.args = ["/data/text"]'; rt_create box; created=$?
rt start box >/dev/null 2>&1; echo "start $?"; rt start box >/dev/null 2>&1; echo "second $?"; rt delete --force box
nothing_left

### 1,500 bind mounts with 1,024 open files
#= 1500
box box 'grep -c " /m/" /proc/mounts' ".root.path = \"$DIR/bundles/many\" | .mounts += [range(1500) |
    {destination: \"/m/\\(.)\", type: \"bind\", source: \"/etc/hostname\", options: [\"bind\"]}]"
cp -a $ROOTFS $DIR/bundles/many; jq '.root.readonly = false' $DIR/bundles/box/config.json > $DIR/new &&
    mv $DIR/new $DIR/bundles/box/config.json
(ulimit -S -n 1024; rt_run box; echo "status $?")

### exec: environment, directory, user, groups, process file
#= uid=1000
bundle box '.process.args = ["sleep", "100"]'; rt_create box; rt start box
rt exec -e A=1 --cwd /tmp -u 1000:1000 -g 29 box sh -c 'echo $A; pwd; id; grep ^Cap /proc/self/status'
rt exec --cap CAP_NET_ADMIN --no-new-privs box grep -E '^(Cap|NoNew)' /proc/self/status
echo '{"args":["sh","-c","id; pwd; echo $X; exit 6"],"cwd":"/etc","env":["PATH=/bin","X=y"],"user":{"uid":7,
    "gid":8}}' > $DIR/bundles/box/process.json
says rt exec --process $DIR/bundles/box/process.json box
says rt exec -d --pid-file $DIR/bundles/box/pid box sleep 50
[ "$(cat /proc/$(cat $DIR/bundles/box/pid)/comm)" = sleep ] && echo detached
echo piped | rt exec box cat

### exec with a terminal
#= 30 100
#= status 5
bundle box '.process.args = ["sleep", "100"]'; rt_create box; rt start box
$HERE/tools/terminal run 'wait ready|type \n' $RUNTIME_PATH --root $DIR/state exec -t box \
    sh -c 'stty size; tty; echo ready; read x; exit 5'

### ps
#= [
bundle box '.process.args = ["sleep", "100"]'; rt_create box; rt start box
[ "$(rt ps -f json box)" = "[$(pid_of box)]" ] && echo "[ as state says ]"; rt ps box | awk '{print $NF, $(NF-1)}'
rt ps box -o pid,comm | awk '{print $2}'

### pause and resume
#= paused
bundle box '.process.args = ["sleep", "100"]'; rt_create box; rt start box
rt pause box; status_of box; message exec box true; message resume nobody; rt resume box; status_of box
message resume box; rt exec box echo awake
rt pause box; rt delete --force box; echo "delete $?"; nothing_left

### update
#= 33554432
bundle box '.process.args = ["sleep", "100"] | .linux.resources.memory = {limit: 67108864, swap: 67108864}'
rt_create box; rt start box
values() { (cd /sys/fs/cgroup; cat memory/$MARK/box/memory.{limit,memsw.limit}_in_bytes \
    cpu/$MARK/box/cpu.{shares,cfs_quota_us,cfs_period_us} pids/$MARK/box/pids.max cpuset/$MARK/box/cpuset.cpus); }
rt update --memory 32M --memory-swap 32M --cpu-share 300 --cpu-period 50000 --cpu-quota 25000 --pids-limit 20 \
    --cpuset-cpus 0 box; values
echo '{"memory":{"limit":50331648,"swap":50331648},"pids":{"limit":30}}' | rt update -r - box; values
message update --cpuset-cpus 999 box | tail -1; values

### events --stats has everything of the schema
#= cpu.usage.total
#= memory.usage.limit
#= pids.current
#= cpuset.cpus.N
#~ loose
bundle box '.process.args = ["sleep", "100"]'; rt_create box; rt start box
rt events --stats box | jq -r '.type, .id, ([.data | paths(scalars) | map(if type == "number" then "N" else . end) |
    join(".")] | unique | .[])' | grep -vE 'raw|blkio|percpu|hugetlb|intel_rdt|psi'

### kill --all and delete --force without a pid namespace of its own end every process of the cgroup
#= nothing left
#~ loose
box box 'sleep 1000 & sleep 1001 & echo ready; wait' '.linux.namespaces |= map(select(.type != "pid"))'
rt_create box; rt start box; until_true 10 grep -q ready $DIR/bundles/box/out; rt kill --all box KILL
until_stopped box; marked | wc -l; rt delete box; echo "delete $?"
box two 'sleep 1000 & sleep 1001 & echo ready; wait' '.linux.namespaces |= map(select(.type != "pid"))'
rt_create two; rt start two; until_true 10 grep -q ready $DIR/bundles/two/out; rt delete --force two; echo "delete $?"
nothing_left

### a joined pid namespace shows its own processes alone
#= pid ns same
#= 1 sleep
bundle one '.process.args = ["sleep", "1000"]'; rt_create one; rt start one; pid=$(pid_of one)
box two 'readlink /proc/self/ns/pid; all=$(ps); echo $(echo "$all" | grep -c "sleep 1000$") sleep; echo "$all" |
    wc -l' ".linux.namespaces |= map(if .type == \"pid\" then .path = \"/proc/$pid/ns/pid\" else . end)"
rt_run two > $DIR/bundles/two/seen 2>&1; [ "$(head -1 $DIR/bundles/two/seen)" = "$(readlink /proc/$pid/ns/pid)" ] &&
    echo pid ns same; sed 1d $DIR/bundles/two/seen

### a startContainer hook in a joined pid namespace reads the pid that it sees there
#= pid 0
#= nothing left
bundle one '.process.args = ["sleep", "1000"]'; rt_create one; rt start one; pid=$(pid_of one)
bundle two ".process.args = [\"sleep\", \"1000\"] | .root.readonly = false |
    .linux.namespaces |= map(if .type == \"pid\" then .path = \"/proc/$pid/ns/pid\" else . end)
    | .mounts += [{destination: \"/out\", type: \"bind\", source: \"$DIR/bundles/two\", options: [\"bind\"]}]
    | .hooks.startContainer = [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"cat > /out/state\"]}]"
rt_create two; rt start two; seen=$(jq .pid $DIR/bundles/two/state)
inside=$(sed -n 's/^NSpid:.*\t//p' /proc/$(pid_of two)/status); echo "pid $((seen - inside))"
rt delete --force two; rt delete --force one; nothing_left

### rounds of create, start, kill and delete leave nothing
#= failed 0
#= nothing left
#= everything is as before
#~ loose
#~ seconds 600
bundle box '.process.args = ["sleep", "100"]'; failed=0; mkdir -p $DIR/state; : > $DIR/bundles/box/out
everything | sort -u > $DIR/before
for round in $(seq ${SOAK_ROUNDS:-50}); do rt_create box && rt start box && rt kill box KILL && until_stopped box &&
    rt delete box || failed=$((failed + 1)); done; echo "failed $failed"; nothing_left; everything_is $DIR/before

### many containers in parallel leave nothing
#= failed 0
#= nothing left
#= everything is as before
#~ loose
#~ seconds 600
n=${SOAK_PARALLEL:-40}; for i in $(seq $n); do bundle box$i '.process.args = ["sleep", "100"]'
    : > $DIR/bundles/box$i/out; done
mkdir -p $DIR/state; : > $DIR/failed; everything | sort -u > $DIR/before
one() { rt_create box$1 && rt start box$1 && rt kill box$1 KILL && until_stopped box$1 && rt delete box$1 ||
    echo "box$1" >> $DIR/failed; }
for i in $(seq $n); do one $i & [ $((i % 50)) -ne 0 ] ||
    wait; done; wait; echo "failed $(wc -l < $DIR/failed)"; nothing_left; everything_is $DIR/before

### called by the name runc
#= runc version
ln -sf $RUNTIME_PATH $DIR/runc; $DIR/runc --version | head -1 | cut -d' ' -f1,2; rm $DIR/runc
$RUNTIME_PATH --version | sed 1d | grep -c version

### signals end a container that waits at the gate
#= nothing left
bundle box '.process.args = ["sleep", "100"]'
for signal in TERM HUP INT; do rt_create box; rt kill box $signal; until_stopped box; status_of box; rt delete box
    done; nothing_left

### the word that the program is ready reaches the service manager
#= NOTIFY_SOCKET=/run/notify/notify.sock
#= Read-only file system
#= READY=1
#= MAINPID=the container
#= start 0
#= nothing left
#~ loose
box box 'env | grep NOTIFY; touch /run/notify/x; sleep 100'
export NOTIFY_SOCKET=$DIR/manager
python3 -u -c 'import os, socket, sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(sys.argv[1])
while True:
    text, control, _, _ = manager.recvmsg(4096, socket.CMSG_SPACE(4))
    print(text.decode().strip())
    for _, _, fd in control: os.close(int.from_bytes(fd[:4], sys.byteorder))' $NOTIFY_SOCKET >$DIR/heard & manager=$!
until_true 10 test -S $NOTIFY_SOCKET
rt_create box; pid=$(pid_of box); rt start box & start=$!
inside=/proc/$pid/root/run/notify/notify.sock; until_true 10 test -S $inside
python3 -c 'import socket, sys
program = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
program.connect(sys.argv[1])
program.send(b"STATUS=hidden")
program.send(b"READY=1")' $inside
wait $start; echo "start $?"; unset NOTIFY_SOCKET; kill $manager
sed "s/=$pid\$/=the container/" $DIR/heard; output box; rt delete --force box; rm $DIR/manager; nothing_left

### a filter gives the error that the profile names, in the program and in exec
#= No data available
#= Seccomp:	2
bundle box '.process.args = ["sleep", "100"] | .linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 61}]}'
rt_create box; rt start box; grep ^Seccomp: /proc/$(pid_of box)/status
says rt exec box mkdir /dev/shm/x
rt exec box grep ^Seccomp: /proc/self/status
says rt exec box mkdir -p /dev/shm; rt delete --force box

### without noNewPrivileges a filter leaves no capability behind
#= CapEff:	0000000000000020
#= CapEff:	0000000000000000
#= Seccomp:	2
filter='.process.args = ["grep", "-E", "^(Cap|Seccomp:|NoNewPrivs)", "/proc/self/status"] |
    .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir"], action: "SCMP_ACT_ERRNO"}]} |
    .process.noNewPrivileges = false'
kill='.process.capabilities = {bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"]'
bundle box "$filter | $kill}"; rt_run box
bundle box "$filter | $kill} | .process.user = {uid: 1000, gid: 1000}"; rt_run box
bundle box "$filter | $kill, inheritable: [\"CAP_KILL\"], ambient: [\"CAP_KILL\"]} | .process.user = {uid: 1000,
    gid: 1000}"; rt_run box
