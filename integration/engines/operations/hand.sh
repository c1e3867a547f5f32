# What a person does with a bundle and no engine.  The format is that of docker.sh.

### a bundle of spec runs unchanged
#= pid 1
#= status 0
mkdir -p $DIR/bundles/own; cd $DIR/bundles/own; $RUNTIME_PATH spec; ln -s $ROOTFS rootfs 2>/dev/null; rm rootfs; cp -a $ROOTFS rootfs
$HERE/tools/terminal run 'wait # |type echo pid $$; exit\n' $RUNTIME_PATH --root $DIR/state run -b $DIR/bundles/own own | grep -E '^(pid|status)' | tr -d '<CR>'
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
for program in nosuch /no/such /etc /data/text /bin/garbage; do bundle box ".process.args = [\"$program\"]"; message run -b $DIR/bundles/box box; done
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
box box 'trap "echo got INT" INT; trap "echo got TSTP" TSTP; echo ready; n=0; while [ $n -lt 2 ]; do n=$((n + 1)); read x; done; exit 4' '.process.terminal = true'
$HERE/tools/terminal run 'wait ready|type \x03|wait INT|type \x1a|wait TSTP|type \n\n' $RUNTIME_PATH --root $DIR/state run -b $DIR/bundles/box box | grep -oE 'got INT|got TSTP|status .*'

### signals to run reach the program
#= got TERM
#= status 9
box box 'trap "echo got TERM; exit 9" TERM; echo ready; while :; do sleep 0.1; done'
rt_run box > $DIR/bundles/box/log 2>&1 & job=$!
until_true 10 grep -q ready $DIR/bundles/box/log; kill -TERM $(pgrep -f "^$RUNTIME_PATH --root $DIR/state run" | head -1); wait $job; echo "status $?"; cat $DIR/bundles/box/log

### a console socket is sent the terminal
#= received 1 descriptor, a terminal
#= 30 100
box box 'read x; stty size; tty' '.process.terminal = true'
$HERE/tools/terminal receive $DIR/bundles/box/console 'type \n' > $DIR/bundles/box/log & job=$!
until_true 10 test -S $DIR/bundles/box/console
rt create --console-socket $DIR/bundles/box/console -b $DIR/bundles/box box; rt start box; wait $job; cat $DIR/bundles/box/log

### a console socket and a state root longer than a socket address
#= received 1 descriptor, a terminal
long=$DIR/bundles/$(printf 'x%.0s' $(seq 60))/$(printf 'y%.0s' $(seq 60))/$(printf 'z%.0s' $(seq 60)); mkdir -p $long
box box 'read x; echo long' '.process.terminal = true'
$HERE/tools/terminal receive $long/console 'type \n' > $DIR/bundles/box/log & job=$!
until_true 10 test -S $long/console
$RUNTIME_PATH --root $long/state create --console-socket $long/console -b $DIR/bundles/box box; echo "create $?"
$RUNTIME_PATH --root $long/state start box; echo "start $?"; wait $job; cat $DIR/bundles/box/log
until_true 10 $RUNTIME_PATH --root $long/state delete box
#~ not runc: its console socket path may not be longer than a socket address

### the rules of terminals and sockets
#= status 1
bundle box '.process.args = ["true"] | .process.terminal = true'; message create -b $DIR/bundles/box box
bundle box '.process.args = ["true"]'; message create --console-socket /nowhere -b $DIR/bundles/box box

### pid file, preserved descriptors, activation sockets
#= from outside
#= LISTEN_FDS=1
bundle box '.process.args = ["sleep", "100"]'; rt_create box --pid-file $DIR/bundles/box/pid; [ "$(cat $DIR/bundles/box/pid)" = "$(pid_of box)" ] && echo same pid; wc -l < $DIR/bundles/box/pid
box fds 'cat <&3; ls /proc/self/fd | wc -l'; echo from outside > $DIR/bundles/fds/file
rt_run fds --preserve-fds 1 3< $DIR/bundles/fds/file
box listen 'env | grep ^LISTEN | sort; cat <&3'; echo from systemd > $DIR/bundles/listen/file
bash -c 'export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"' listen $RUNTIME_PATH --root $DIR/state run -b $DIR/bundles/listen listen 3< $DIR/bundles/listen/file

### detach and keep
#= kept stopped
bundle box '.process.args = ["sleep", "100"]'; rt run -d -b $DIR/bundles/box box >/dev/null 2>&1 </dev/null; status_of box
box kept 'exit 2' ; rt run --keep -b $DIR/bundles/kept kept; echo "status $?"; echo "kept $(status_of kept)"

### the OOM score is the program's, also in exec, and not the runtime's
#= 300 300
#= as before
bundle box '.process.args = ["sleep", "100"] | .process.oomScoreAdj = 300'; before=$(cat /proc/self/oom_score_adj)
rt run -b $DIR/bundles/box box > /dev/null 2>&1 < /dev/null & job=$!
sleeps() { [ "$(cat /proc/$(pid_of box 2> /dev/null)/comm 2> /dev/null)" = sleep ]; }; until_true 10 sleeps
echo "$(cat /proc/$(pid_of box)/oom_score_adj) $(rt exec box cat /proc/self/oom_score_adj)"
runtime=$(awk '/^PPid:/ { print $2 }' /proc/$(pid_of box)/status); [ "$(cat /proc/$runtime/oom_score_adj)" = "$before" ] && echo as before
rt kill box KILL; wait $job

### a container that has too little memory to be made is an error, and exec in one that has little works
#= status 1
#= within
for limit in 40960 90112; do
    bundle box ".process.args = [\"sleep\", \"100\"] | .linux.resources.memory.limit = $limit"; message run -b $DIR/bundles/box box; done
bundle box '.process.args = ["sleep", "100"] | .linux.resources.memory.limit = 6291456'; rt_create box; rt start box
for n in $(seq 20); do rt exec box echo within; done | uniq; status_of box
#~ loose

### with next to no memory the process is in its memory cgroup, and sees it as the root, all the same
#= created true
#= running true
#= memory:/
bundle box '.process.args = ["sh", "-c", "grep memory /proc/self/cgroup | cut -d: -f2-; sleep 100"] | .linux.resources.memory.limit = 4194304'
there() { echo "$(rt state box | jq -r .status) $(grep -q ":memory:.*/box\$" /proc/$(pid_of box)/cgroup && echo true)"; }
rt create -b $DIR/bundles/box box > $DIR/bundles/box/out 2>&1 < /dev/null; there; rt start box
until [ -s $DIR/bundles/box/out ]; do sleep 0.1; done; there; cat $DIR/bundles/box/out; rt delete --force box
#~ loose

### with next to no memory a mount shows the container's own cgroup, and what is copied into one is charged to that
#~ not runc: it mounts every hierarchy in the place of cgroup2
#= children 0
#= status 1
unified=$(awk '{ for (n = 7; $n != "-"; n++); if ($(n + 1) == "cgroup2") { print $5; exit } }' /proc/self/mountinfo)
[ -z "$unified" ] || mkdir $unified/orlop-another-$$
little='.linux.resources.memory.limit = 4194304 | .linux.namespaces |= map(select(.type != "cgroup")) + [{"type": "cgroup"}]'
box shows 'echo children $(ls -d /tmp/*/ | wc -l)' "$little | .mounts += [{destination: \"/tmp\", type: \"cgroup2\", source: \"cgroup2\"}]"
rt_run shows
[ -z "$unified" ] || rmdir $unified/orlop-another-$$
cp -a $ROOTFS $DIR/bundles/big-root; yes | head -c 100M > $DIR/bundles/big-root/tmp/big
box copied 'ls /tmp' "$little | .root.path = \"$DIR/bundles/big-root\" | .mounts += [{destination: \"/tmp\", type: \"tmpfs\", source: \"tmpfs\", options: [\"tmpcopyup\"]}]"
says rt_run copied 2> /dev/null; nothing_left

### no file may be written: the program and exec run all the same
#= 0
limit='.process.rlimits = [{"type": "RLIMIT_FSIZE", "hard": 0, "soft": 0}]'
ids='.linux.namespaces += [{"type": "user"}] | .linux.uidMappings = [{"containerID": 0, "hostID": 0, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'
for more in . "$ids"; do
    bundle box ".process.args = [\"sh\", \"-c\", \"ulimit -f\"] | $limit | $more"; rt run -b $DIR/bundles/box box 2>&1 < /dev/null | cat
    bundle box ".process.args = [\"sleep\", \"100\"] | $limit | $more"; rt run -d -b $DIR/bundles/box box > /dev/null 2>&1 < /dev/null
    rt exec box sh -c 'ulimit -f' | cat; rt delete --force box; done

### the runtime's relocated data is read-only once it runs, and no data lies in an executable segment
#= 0 pages of relocated data are writable
#= 0 segments are writable and executable; 2 are only read
box box 'cat'; mkfifo $DIR/bundles/box/in; $RUNTIME_PATH --root $DIR/state run -b $DIR/bundles/box box < $DIR/bundles/box/in > /dev/null 2>&1 & exec 9> $DIR/bundles/box/in
until_true 10 eval '[ -n "$(rt state box 2> /dev/null | jq -r "select(.status == \"running\") | .pid")" ]'
python3 - $! $RUNTIME_PATH << 'END'
import struct, sys
program = open(sys.argv[2], "rb").read()
table, size, count = struct.unpack_from("<Q", program, 0x20)[0], *struct.unpack_from("<HH", program, 0x36)
headers = [struct.unpack_from("<IIQQQQQQ", program, table + n * size) for n in range(count)]
maps = [line.split() for line in open(f"/proc/{sys.argv[1]}/maps")]
areas = [([int(end, 16) for end in words[0].split("-")], words[1]) for words in maps]
base = next(int(words[0].split("-")[0], 16) for words in maps if words[-1] == sys.argv[2] and words[2] == "00000000")
[(start, length)] = [(header[3], header[6]) for header in headers if header[0] == 0x6474e552]
pages = range((base + start) & -4096, (base + start + length) & -4096, 4096)
writable = [page for page in pages for (low, high), mode in areas if low <= page < high and "w" in mode]
print(len(writable) if len(pages) else "no", "pages of relocated data are writable")
loads = [header[1] & 7 for header in headers if header[0] == 1]
print(loads.count(7) + loads.count(3), "segments are writable and executable;", loads.count(4), "are only read")
END
exec 9>&-; until_stopped box; rt delete --force box; wait; nothing_left
#~ not runc: it is about orlop's own program

### an ordinary user with the v1 hierarchies delegated and the unified tree not has a container with limits
#= 9 of the user's
#= pids.max 33
#= status 0
#~ not runc: it was not tried as such a user
mine=orlop-user-$$; for h in blkio cpu cpuacct cpuset devices freezer memory pids systemd; do mkdir /sys/fs/cgroup/$h/$mine; done
for f in cpuset.cpus cpuset.mems; do cat /sys/fs/cgroup/cpuset/$f > /sys/fs/cgroup/cpuset/$mine/$f; done
chown -R 1000:1000 /sys/fs/cgroup/*/$mine; mkdir -p $DIR/user; cp -a $ROOTFS $DIR/user/rootfs; cp $RUNTIME_PATH $DIR/user/orlop
user() { setpriv --reuid 1000 --regid 1000 --clear-groups env -i PATH=$PATH HOME=$DIR/user "$@"; }
chmod 755 $DIR; chown -R 1000:1000 $DIR/user; (cd $DIR/user; user ./orlop spec --rootless
jq ".process.terminal = false | .process.args = [\"cat\", \"/proc/self/cgroup\"] | .linux.cgroupsPath = \"/$mine/box\" | .linux.resources = {pids: {limit: 33}}" config.json > new; mv new config.json
user ./orlop --root $DIR/user/state run --keep box < /dev/null > out 2>&1; code=$?
echo "$(grep -c "/$mine/box\$" out) of the user's"; echo "pids.max $(cat /sys/fs/cgroup/pids/$mine/box/pids.max)"; echo "status $code"
user ./orlop --root $DIR/user/state delete box)
find /sys/fs/cgroup -depth -type d -path "*$mine*" -exec rmdir {} \; ; nothing_left

### signals by name and number
#= 143
for signal in TERM SIGTERM term 15; do
    bundle box '.process.args = ["sleep", "100"] | .linux.namespaces |= map(select(.type != "pid"))'; rt_create box; rt start box
    rt kill box $signal; until_stopped box; echo "$signal $?"; rt delete box; done
bundle box '.process.args = ["sleep", "100"]'; rt_create box; message kill box NOSUCH; echo 143

### config.json removed after create changes nothing
#= as created
box box 'echo as created'; rt_create box; rm $DIR/bundles/box/config.json; rt start box; until_stopped box; output box; rt delete box; nothing_left

### hooks run in order with the state on standard input
#= createRuntime creat
#= createContainer creat
#= poststart
#= poststop stopped
#~ loose
hooks=
for hook in prestart createRuntime createContainer startContainer poststart poststop; do
    hooks="$hooks | .hooks.$hook = [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"s=\$(cat); echo $hook \$(echo \$s | grep -o '\\\"status\\\": *\\\"[a-z]*' | cut -d'\\\"' -f4) >> $DIR/bundles/box/hooks || true\"], env: [\"PATH=/usr/bin:/bin\"]}]"; done
box box true ".${hooks# | .}"
rt_create box; rt start box; until_stopped box; rt delete box; cat $DIR/bundles/box/hooks

### a hook that fails
#= status 1
for hook in prestart createRuntime; do
    box box true ".hooks.$hook = [{path: \"/bin/false\"}]"; rt_create box; echo "$hook status $?"; rt delete --force box; done
box box 'echo ran' '.hooks.poststart = [{path: "/bin/false"}]'; rt_run box >/dev/null 2>&1; nothing_left

### a hook that hangs is ended by its timeout
#= status 1
box box true '.hooks.createRuntime = [{path: "/bin/sleep", args: ["sleep", "100"], timeout: 1}]'; rt_create box; echo "status $?"; rt delete --force box; nothing_left

### while create hangs in a hook, state answers, and kill and delete --force work
#= creating
#= delete 0
#= kill 0
#= create 1
#= the container's process has ended
#= nothing left
#~ not runc: it leaves the hook running
box box true '.hooks.createRuntime = [{path: "/bin/sleep", args: ["sleep", "100"]}]'
rt_create box & job=$!
until_true 10 pgrep -f '^sleep 100'; rt state box | jq -r .status; timeout 5 "$RUNTIME_PATH" --root $DIR/state delete --force box; echo "delete $?"; wait $job; echo "create $?"; nothing_left
rt_create box & job=$!
until_true 10 pgrep -f '^sleep 100'; timeout 5 "$RUNTIME_PATH" --root $DIR/state kill box KILL; echo "kill $?"; wait $job; echo "create $?"
output box | grep -o "the container's process has ended"; rt delete --force box; nothing_left

### start of a container whose program cannot be executed is an error, and so is a second start
#~ loose
#= start 1
#= second 1
box box true '.process.args = ["/data/text"]'; rt_create box; created=$?
rt start box >/dev/null 2>&1; echo "start $?"; rt start box >/dev/null 2>&1; echo "second $?"; rt delete --force box; nothing_left

### start when init is dead or stopped is an error
#= dead 1
#= stopped 1
#~ not runc: start hangs or succeeds on a stopped init
bundle box '.process.args = ["sleep", "100"]'; rt_create box; kill -9 $(pid_of box); sleep 0.2; rt start box >/dev/null 2>&1; echo "dead $?"; rt delete --force box
rt_create box; kill -STOP $(pid_of box); timeout 40 "$RUNTIME_PATH" --root $DIR/state start box 2>&1; echo "stopped $?"; rt delete --force box; nothing_left

### a FIFO as /etc/passwd hangs nothing
#= status
#~ not runc: it waits for somebody to write
cp -a $ROOTFS $DIR/bundles/fifo; rm $DIR/bundles/fifo/etc/passwd; mkfifo $DIR/bundles/fifo/etc/passwd
bundle box ".root.path = \"$DIR/bundles/fifo\" | .process.args = [\"echo\", \"ran\"]"; says rt_run box

### 1,500 bind mounts with 1,024 open files
#= 1500
box box 'grep -c " /m/" /proc/mounts' ".root.path = \"$DIR/bundles/many\" | .mounts += [range(1500) | {destination: \"/m/\\(.)\", type: \"bind\", source: \"/etc/hostname\", options: [\"bind\"]}]"
cp -a $ROOTFS $DIR/bundles/many; jq '.root.readonly = false' $DIR/bundles/box/config.json > $DIR/new && mv $DIR/new $DIR/bundles/box/config.json
(ulimit -S -n 1024; rt_run box; echo "status $?")

### a working directory that the root lacks is made, of root and before the root is read-only, but not by exec
#= /work/dir
#= drwxr-xr-x 0 0 /work
#= drwxr-xr-x 0 0 /work/dir
#= nothing made
#~ not runc: it applies the caller's umask
cp -a $ROOTFS $DIR/bundles/lacks; lacks=".root = {path: \"$DIR/bundles/lacks\", readonly: true} | .process.cwd = \"/work/dir\" | .process.user = {uid: 1000, gid: 1000}"
ids='.linux.namespaces += [{"type": "user"}] | .linux.uidMappings = [{"containerID": 0, "hostID": 0, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'
for users in . "$ids"; do
    rm -rf $DIR/bundles/lacks/work
    box box "pwd; ls -ldn /work /work/dir | sed -E 's/ +/ /g' | cut -d' ' -f1,3,4,9" "$lacks | $users"; (umask 077; rt_run box); says echo
done
bundle box ".root = {path: \"$DIR/bundles/lacks\", readonly: false} | .process.args = [\"sleep\", \"100\"]"; rt_create box; rt start box
rt exec --cwd /nowhere/here box true >/dev/null 2>&1; [ -e $DIR/bundles/lacks/nowhere ] || echo nothing made

### exec: environment, directory, user, groups, process file
#= uid=1000
bundle box '.process.args = ["sleep", "100"]'; rt_create box; rt start box
rt exec -e A=1 --cwd /tmp -u 1000:1000 -g 29 box sh -c 'echo $A; pwd; id; grep ^Cap /proc/self/status'
rt exec --cap CAP_NET_ADMIN --no-new-privs box grep -E '^(Cap|NoNew)' /proc/self/status
echo '{"args":["sh","-c","id; pwd; echo $X; exit 6"],"cwd":"/etc","env":["PATH=/bin","X=y"],"user":{"uid":7,"gid":8}}' > $DIR/bundles/box/process.json
says rt exec --process $DIR/bundles/box/process.json box
says rt exec -d --pid-file $DIR/bundles/box/pid box sleep 50; [ "$(cat /proc/$(cat $DIR/bundles/box/pid)/comm)" = sleep ] && echo detached
echo piped | rt exec box cat

### exec with a terminal
#= 30 100
#= status 5
bundle box '.process.args = ["sleep", "100"]'; rt_create box; rt start box
$HERE/tools/terminal run 'wait ready|type \n' $RUNTIME_PATH --root $DIR/state exec -t box sh -c 'stty size; tty; echo ready; read x; exit 5'

### exec runs on the processors of execCPUAffinity
#= final: 0
#= initial alone: 0
#= not in the program: yes
#= a processor that does not exist: 255
#= nothing left
#~ not runc: not every version knows it
allowed='sed -n s/^Cpus_allowed_list:.//p /proc/self/status'
affinity() { bundle box ".process.args = [\"sleep\", \"100\"] | .process.execCPUAffinity = $1"; rt_run box -d >/dev/null </dev/null; }
affinity '{"initial": "0-1", "final": "0"}'; echo "final: $(rt exec box $allowed)"
[ "$(rt exec box sed -n s/^Cpus_allowed_list:.//p /proc/1/status)" = "$(sed -n s/^Cpus_allowed_list:.//p /proc/self/status)" ] && echo "not in the program: yes"
rt delete --force box
affinity '{"initial": "0"}'; echo "initial alone: $(rt exec box $allowed)"; rt delete --force box
affinity '{"final": "4000"}'; rt exec box true 2>$DIR/said; echo "a processor that does not exist: $?"; grep -q execCPUAffinity $DIR/said || cat $DIR/said
rt delete --force box; nothing_left

### ps
#= [
bundle box '.process.args = ["sleep", "100"]'; rt_create box; rt start box
[ "$(rt ps -f json box)" = "[$(pid_of box)]" ] && echo "[ as state says ]"; rt ps box | awk '{print $NF, $(NF-1)}'; rt ps box -o pid,comm | awk '{print $2}'

### pause and resume
#= paused
bundle box '.process.args = ["sleep", "100"]'; rt_create box; rt start box
rt pause box; status_of box; message exec box true; message resume nobody; rt resume box; status_of box; message resume box; rt exec box echo awake
rt pause box; rt delete --force box; echo "delete $?"; nothing_left

### create below a frozen cgroup says so instead of waiting
#= is frozen
#= gone
#~ seconds 120
#~ not runc: it waits until somebody thaws it
frozen=/sys/fs/cgroup/freezer/orlop-frozen file=freezer.state states="FROZEN THAWED"
[ -d /sys/fs/cgroup/freezer ] || { frozen=/sys/fs/cgroup/orlop-frozen file=cgroup.freeze states="1 0"; }
mkdir $frozen; set -- $states; echo $1 > $frozen/$file
bundle box '.process.args = ["true"] | .linux.cgroupsPath = "/orlop-frozen/box"'
# To a file: v1's frozen process keeps what it was given open, and a reader of a pipe would wait for it.
rt_run box > $DIR/bundles/box/said 2>&1; grep -o 'is frozen' $DIR/bundles/box/said
echo $2 > $frozen/$file; rt delete --force box; rmdir $frozen && echo gone

### update
#= 33554432
bundle box '.process.args = ["sleep", "100"] | .linux.resources.memory = {limit: 67108864, swap: 67108864}'; rt_create box; rt start box
values() { (cd /sys/fs/cgroup; cat memory/$MARK/box/memory.{limit,memsw.limit}_in_bytes cpu/$MARK/box/cpu.{shares,cfs_quota_us,cfs_period_us} pids/$MARK/box/pids.max cpuset/$MARK/box/cpuset.cpus); }
rt update --memory 32M --memory-swap 32M --cpu-share 300 --cpu-period 50000 --cpu-quota 25000 --pids-limit 20 --cpuset-cpus 0 box; values
echo '{"memory":{"limit":50331648,"swap":50331648},"pids":{"limit":30}}' | rt update -r - box; values
message update --cpuset-cpus 999 box | tail -1; values

### events --stats has everything of the schema
#= cpu.usage.total
#= memory.usage.limit
#= pids.current
#= cpuset.cpus.N
#~ loose
bundle box '.process.args = ["sleep", "100"]'; rt_create box; rt start box
rt events --stats box | jq -r '.type, .id, ([.data | paths(scalars) | map(if type == "number" then "N" else . end) | join(".")] | unique | .[])' | grep -vE 'raw|blkio|percpu|hugetlb|intel_rdt|psi'

### kill --all and delete --force without a pid namespace of its own end every process of the cgroup
#= nothing left
#~ loose
box box 'sleep 1000 & sleep 1001 & echo ready; wait' '.linux.namespaces |= map(select(.type != "pid"))'
rt_create box; rt start box; until_true 10 grep -q ready $DIR/bundles/box/out; rt kill --all box KILL; until_stopped box; marked | wc -l; rt delete box; echo "delete $?"
box two 'sleep 1000 & sleep 1001 & echo ready; wait' '.linux.namespaces |= map(select(.type != "pid"))'
rt_create two; rt start two; until_true 10 grep -q ready $DIR/bundles/two/out; rt delete --force two; echo "delete $?"; nothing_left

### delete --force waits for nobody who does not wait for his own: exec was killed, and its process has a careless parent
#= delete 0
#= nothing left
#~ not runc: it gives up on such a container, and leaves its cgroups
bundle box '.process.args = ["sleep", "1000"]'; rt_create box; rt start box
python3 -u -c 'import ctypes, signal, subprocess, sys
ctypes.CDLL(None).prctl(36, 1) # PR_SET_CHILD_SUBREAPER
print(subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL).pid)
signal.pause()' $RUNTIME_PATH --root $DIR/state exec box sleep 1001 >$DIR/heard & careless=$!
until_true 10 pgrep -f "^sleep 1001"; kill -9 $(cat $DIR/heard)
rt delete --force box; echo "delete $?"; kill $careless; nothing_left

### a joined pid namespace shows its own processes alone
#= pid ns same
#= 1 sleep
bundle one '.process.args = ["sleep", "1000"]'; rt_create one; rt start one; pid=$(pid_of one)
box two 'readlink /proc/self/ns/pid; all=$(ps); echo $(echo "$all" | grep -c "sleep 1000$") sleep; echo "$all" | wc -l' ".linux.namespaces |= map(if .type == \"pid\" then .path = \"/proc/$pid/ns/pid\" else . end)"
rt_run two > $DIR/bundles/two/seen 2>&1; [ "$(head -1 $DIR/bundles/two/seen)" = "$(readlink /proc/$pid/ns/pid)" ] && echo pid ns same; sed 1d $DIR/bundles/two/seen

### a startContainer hook in a joined pid namespace reads the pid that it sees there
#= pid 0
#= nothing left
bundle one '.process.args = ["sleep", "1000"]'; rt_create one; rt start one; pid=$(pid_of one)
bundle two ".process.args = [\"sleep\", \"1000\"] | .root.readonly = false | .linux.namespaces |= map(if .type == \"pid\" then .path = \"/proc/$pid/ns/pid\" else . end)
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
bundle box '.process.args = ["sleep", "100"]'; failed=0; mkdir -p $DIR/state; : > $DIR/bundles/box/out; everything | sort -u > $DIR/before
for round in $(seq ${SOAK_ROUNDS:-50}); do rt_create box && rt start box && rt kill box KILL && until_stopped box && rt delete box || failed=$((failed + 1)); done; echo "failed $failed"; nothing_left; everything_is $DIR/before

### many containers in parallel leave nothing
#= failed 0
#= nothing left
#= everything is as before
#~ loose
#~ seconds 600
n=${SOAK_PARALLEL:-40}; for i in $(seq $n); do bundle box$i '.process.args = ["sleep", "100"]'; : > $DIR/bundles/box$i/out; done
mkdir -p $DIR/state; : > $DIR/failed; everything | sort -u > $DIR/before
one() { rt_create box$1 && rt start box$1 && rt kill box$1 KILL && until_stopped box$1 && rt delete box$1 || echo "box$1" >> $DIR/failed; }
for i in $(seq $n); do one $i & [ $((i % 50)) -ne 0 ] || wait; done; wait; echo "failed $(wc -l < $DIR/failed)"; nothing_left; everything_is $DIR/before

### the same id in parallel: one wins
#= 1 created
#~ not runc: several win
bundle box '.process.args = ["sleep", "100"]'; for i in 1 2 3 4 5 6; do { rt create -b $DIR/bundles/box box >/dev/null 2>&1 </dev/null && echo won >> $DIR/bundles/box/won; } & done; wait
echo "$(wc -l < $DIR/bundles/box/won) created"; rt delete --force box; nothing_left

### exec while another process pauses and resumes
#= both happened
#= awake
#~ seconds 300
#~ not runc: it can be left frozen
bundle box '.process.args = ["sleep", "1000"]'; rt_create box; rt start box; : > $DIR/bundles/box/ran; : > $DIR/bundles/box/paused
(while [ ! -e $DIR/bundles/box/over ]; do rt pause box; sleep 0.02; rt resume box; sleep 0.05; done >/dev/null 2>&1) & pauser=$!
# On a busy machine it may take longer until one has met a pause, or none.
one() { n=0; cd $DIR/bundles/box; until { [ $n -ge ${SOAK_EXECS:-15} ] && [ -s ran ] && [ -s paused ]; } || [ $n -ge 2000 ]; do n=$((n + 1)); message=$(timeout 10 $RUNTIME_PATH --root $DIR/state exec box true 2>&1 </dev/null); case "$?:$message" in
    0:*) echo . >> $DIR/bundles/box/ran ;; *paused*) echo . >> $DIR/bundles/box/paused ;; *) echo "neither: $message" ;; esac; done; }
workers=
for worker in 1 2 3 4 5 6 7 8; do one & workers="$workers $!"; done; wait $workers; : > $DIR/bundles/box/over; wait $pauser
rt resume box >/dev/null 2>&1; [ -s $DIR/bundles/box/ran ] && [ -s $DIR/bundles/box/paused ] && echo both happened; rt exec box echo awake

### the program does not reach the host's binary through /proc
#= not the binary
#~ not runc: its copy is of another kind
bundle box '.process.args = ["/proc/self/exe", "--version"]'; rt_run box 2>&1 | grep -c "orlop version"
box two 'sleep 100' ; rt_create two; pid=$(pid_of two)
[ "$(stat -Lc %d:%i /proc/$pid/exe)" = "$(stat -Lc %d:%i $RUNTIME_PATH)" ] && echo "the gate shows the binary" || echo not the binary
nsenter -t $pid -m -p -U sh -c : 2>/dev/null; rt delete --force two

### called by the name runc
#= runc version
ln -sf $RUNTIME_PATH $DIR/runc; $DIR/runc --version | head -1 | cut -d' ' -f1,2; rm $DIR/runc; $RUNTIME_PATH --version | sed 1d | grep -c version

### --init reaps orphans, forwards signals and keeps the exit status
#= status 7
#= reaped
#= got TERM
#~ not runc: it has no shim
box box 'exit 7'; says rt run --init -b $DIR/bundles/box box
box box 'for i in $(seq 300); do (sleep 0.01 &); done; sleep 1; ps | grep -c Z; echo reaped'; says rt run --init -b $DIR/bundles/box box
box box 'kill -9 $$'; says rt run --init -b $DIR/bundles/box box
box box 'trap "echo got TERM; exit 9" TERM; echo ready; while :; do sleep 0.1; done'; rt_create box --init; rt start box
until_true 10 grep -q ready $DIR/bundles/box/out; rt kill box TERM; until_stopped box; output box; rt delete box; nothing_left

### signals end a container that waits at the gate
#= nothing left
bundle box '.process.args = ["sleep", "100"]'
for signal in TERM HUP INT; do rt_create box; rt kill box $signal; until_stopped box; status_of box; rt delete box; done; nothing_left

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

### sysctls may be of a network device that comes into the container
#= 1
#= nothing left
#~ not runc: not every version knows network devices
device=hand$$; ip link add $device type veth peer name ${device}p
box box 'cat /proc/sys/net/ipv4/conf/inner0/forwarding' ".linux.netDevices = {\"$device\": {\"name\": \"inner0\"}} | .linux.sysctl = {\"net.ipv4.conf.inner0.forwarding\": \"1\"}"
rt_run box; ip link del $device 2>/dev/null; nothing_left

### a config without process can be created, and start says so
#= status 1
#~ not runc: it refuses to create
bundle box 'del(.process)'; rt_create box; echo "create $?"; message start box; rt delete --force box; nothing_left

### a filter gives the error that the profile names, in the program and in exec
#= No data available
#= Seccomp:	2
bundle box '.process.args = ["sleep", "100"] | .linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 61}]}'
rt_create box; rt start box; grep ^Seccomp: /proc/$(pid_of box)/status
says rt exec box mkdir /dev/shm/x
rt exec box grep ^Seccomp: /proc/self/status
says rt exec box mkdir -p /dev/shm; rt delete --force box

### a filter that refuses or kills on what starts a program, which is there or is not
#= sendmsg ERRNO: there: status 0
#= sendmsg ERRNO: missing: status 1
#= write KILL_PROCESS: there: status 159
#= execve KILL_PROCESS: there: status 1
#= execve ERRNO: missing: status 1
#= without a reason: 0
#= nothing left
#~ not runc: its own calls are filtered, and it may wait for ever
: > $DIR/bundles/said
for call in sendmsg write close exit_group execve; do for action in ERRNO KILL_PROCESS KILL_THREAD TRAP; do for program in echo nosuch; do
    bundle box ".process.args = [\"$program\", \"hello\"] | .linux.seccomp = {defaultAction: \"SCMP_ACT_ALLOW\", syscalls: [{names: [\"$call\"], action: \"SCMP_ACT_$action\"}]}"
    rt_run box >$DIR/bundles/box/out 2>&1 </dev/null; status=$?
    case $program in echo) there=there ;; *) there=missing; grep -c 'executable file not found' $DIR/bundles/box/out | grep -q 1 || echo no reason >> $DIR/bundles/said ;; esac
    echo "$call $action: $there: status $status"
done; done; done
echo "without a reason: $(grep -c reason $DIR/bundles/said)"; nothing_left

### a profile may notify of every call, write included, and the agent lets them go on
#= ['seccompFd'] MKNOD=/dev/null box 1 descriptor
#= hello
#= status 0
#~ not runc: it refuses both
for profile in '"defaultAction": "SCMP_ACT_NOTIFY"' '"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["write", "sendmsg", "execve"], "action": "SCMP_ACT_NOTIFY"}]'; do
    box box 'echo hello' ".linux.seccomp = {$profile, listenerPath: \"$DIR/bundles/agent\", listenerMetadata: \"MKNOD=/dev/null\"}"
    $HERE/engines/agent $DIR/bundles/agent & job=$!
    until_true 10 test -S $DIR/bundles/agent
    says rt_run box; wait $job; rm $DIR/bundles/agent
done

### the reaping init's child has the listener
#= ['seccompFd'] None box 1 descriptor
#= made
#~ not runc: it has no --init
box box 'mkdir /dev/shm/x && echo made' ".linux.seccomp = {defaultAction: \"SCMP_ACT_ALLOW\", syscalls: [{names: [\"mkdir\", \"execve\"], action: \"SCMP_ACT_NOTIFY\"}], listenerPath: \"$DIR/bundles/agent\"}"
$HERE/engines/agent $DIR/bundles/agent & job=$!
until_true 10 test -S $DIR/bundles/agent
says rt_run box --init; wait $job

### without noNewPrivileges a filter leaves no capability behind
#= CapEff:	0000000000000020
#= CapEff:	0000000000000000
#= Seccomp:	2
filter='.process.args = ["grep", "-E", "^(Cap|Seccomp:|NoNewPrivs)", "/proc/self/status"] | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir"], action: "SCMP_ACT_ERRNO"}]} | .process.noNewPrivileges = false'
kill='.process.capabilities = {bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"]'
bundle box "$filter | $kill}"; rt_run box
bundle box "$filter | $kill} | .process.user = {uid: 1000, gid: 1000}"; rt_run box
bundle box "$filter | $kill, inheritable: [\"CAP_KILL\"], ambient: [\"CAP_KILL\"]} | .process.user = {uid: 1000, gid: 1000}"; rt_run box

### every wrong thing in a config is named, and nothing is created
#= nothing left
#~ not runc: its messages do not name the field
#~ loose
wrong() { bundle box "$2"; said=$(message create -b $DIR/bundles/box box); case $said in *"$1"*"status 1"*) ;; *) echo "$1: $said" ;; esac; case $said in *$'\n'*$'\n'*) echo "$1: more than one line: $said" ;; esac; rt delete --force box; }
wrong ociVersion '.ociVersion = 1'
wrong root 'del(.root)'
wrong root.path '.root.path = "/no/such"'
wrong process.cwd '.process.cwd = "relative"'
wrong process.args '.process.args = []'
wrong process.args '.process.args = "sh"'
wrong process.user.uid '.process.user.uid = -1'
wrong process.user.uid '.process.user.uid = "root"'
wrong process.rlimits '.process.rlimits = [{"type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1}]'
wrong process.rlimits '.process.rlimits = [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}, {"type": "RLIMIT_CORE", "soft": 1, "hard": 1}]'
wrong linux.namespaces '.linux.namespaces += [{"type": "nosuch"}]'
wrong linux.namespaces '.linux.namespaces += [{"type": "pid"}]'
wrong linux.namespaces '.linux.namespaces |= map(if .type == "pid" then .path = "/no/such" else . end)'
wrong mounts '.mounts += [{"type": "tmpfs"}]'
wrong mounts '.mounts += [{"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]}]'
wrong linux.resources.memory.limit '.linux.resources.memory.limit = "much"'
wrong linux.resources.cpu.cpus '.linux.resources.cpu.cpus = "a-b"'
wrong linux.seccomp.defaultAction '.linux.seccomp = {"defaultAction": "SCMP_ACT_NOSUCH"}'
wrong linux.seccomp.syscalls '.linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_X"}]}'
wrong linux.seccomp.flags '.linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_X"]}'
wrong linux.sysctl '.linux.sysctl = {"vm.swappiness": "1"}'
wrong hooks '.hooks = {"poststart": [{"path": "relative"}]}'
wrong linux.devices '.linux.devices = [{"path": "/dev/x", "type": "z"}]'
wrong linux.rootfsPropagation '.linux.rootfsPropagation = "sideways"'
wrong hostname '.hostname = "x" | .linux.namespaces |= map(select(.type != "uts"))'
wrong linux.uidMappings '.linux.uidMappings = [{"containerID": 0, "hostID": 0, "size": 1}]'
wrong process.consoleSize '.process.consoleSize = {"height": "x", "width": 1}'
wrong process.oomScoreAdj '.process.oomScoreAdj = 5000'
printf '{"ociVersion": ' > $DIR/bundles/box/config.json; message create -b $DIR/bundles/box box
nothing_left

### orlop inside an orlop container
#= inner pid 1
#= nothing left
#~ not runc: it needs libraries in the container
caps=$(jq -n '["CHOWN","DAC_OVERRIDE","DAC_READ_SEARCH","FOWNER","FSETID","KILL","SETGID","SETUID","SETPCAP","NET_BIND_SERVICE","NET_ADMIN","NET_RAW","SYS_CHROOT","SYS_PTRACE","SYS_ADMIN","MKNOD","AUDIT_WRITE","SETFCAP"] | map("CAP_" + .)')
cp -a $ROOTFS $DIR/bundles/outer-root; mkdir -p $DIR/bundles/outer-root/inner; cp -a $ROOTFS $DIR/bundles/outer-root/inner/rootfs
cp "$RUNTIME_PATH" $DIR/bundles/outer-root/bin/orlop
box inner 'echo inner pid $$'; jq '.root.path = "rootfs" | .linux.cgroupsPath = "/inner"' $DIR/bundles/inner/config.json > $DIR/bundles/outer-root/inner/config.json
box outer 'orlop --root /tmp/state run -b /inner inner; echo "status $?"' ".root.path = \"$DIR/bundles/outer-root\" | .root.readonly = false | .process.capabilities |= map_values($caps) | .linux.maskedPaths = [] | .linux.readonlyPaths = [] | .linux.resources = {} | .mounts |= map(if .type == \"cgroup\" then .options -= [\"ro\"] else . end)"
rt_run outer; nothing_left

### a trace for a viewer has the steps of the runtime and of the container's process, in order
#~ not runc: it has no trace
#= the runtime: check the configuration, make the process, answer the process, remove the container
#= the container's process 1: enter namespaces, build the root filesystem, change the root, execute the init image
#= in order: true
#= 2 commands
#= 4 steps as text
bundle box '.process.args = ["true"]'
rm -f $DIR/trace.json $DIR/trace.txt
rt --trace $DIR/trace.json run -b $DIR/bundles/box box; rt --trace $DIR/trace.json state nosuch 2>/dev/null
# steps LINE PATTERN: those of one process that match.
steps() {
    local tid=$(jq --arg line "$1" '[.[] | select(.name == "thread_name" and .args.name == $line)][0].tid' $DIR/trace.json)
    echo "$1: $(jq -r --argjson tid $tid '.[] | select(.tid == $tid and .ph == "B") | .name' $DIR/trace.json | grep -xE "$2" | paste -sd, | sed 's/,/, /g')"
    echo "in order: $(jq --argjson tid $tid '[.[] | select(.tid == $tid) | .ts] | . == sort' $DIR/trace.json)"
}
steps "the runtime" 'check the configuration|make the process|answer the process|remove the container'
steps "the container's process 1" 'enter namespaces|build the root filesystem|change the root|execute the init image'
echo "$(jq '[.[] | select(.name == "process_name")] | length' $DIR/trace.json) commands"
rt --trace $DIR/trace.txt run -b $DIR/bundles/box box
echo "$(grep -cE '^[0-9.]+ 1 step (enter namespaces|build the root filesystem|change the root|execute the init image)$' $DIR/trace.txt) steps as text"
rm -f $DIR/trace.json $DIR/trace.txt; nothing_left
