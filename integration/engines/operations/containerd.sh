# What users of containerd's ctr do.  The format is that of docker.sh.
# ctr stops copying as soon as it hears of a process's end, whatever has not been read yet: what prints in exec sleeps a
# little.

### run prints from inside its own namespaces
#= pid 1
run $IMAGE c sh -c 'echo pid $$; ls /'

### exit statuses are the program's
#= status 7
says run $IMAGE c sh -c 'exit 7'

### what cannot be executed
#= executable file not found in $PATH
#= permission denied
says run $IMAGE c nosuch
says run $IMAGE c /no/such
says run $IMAGE c /data/text

### a file of no known format is an exec format error
#= exec format error
#~ loose
says run $IMAGE c /bin/garbage

### a terminal
#= 30 100
pty ctr run --runc-binary $RUNTIME_PATH --rm -t $IMAGE c sh -c 'sleep 0.5; tty; stty size; exit 3' </dev/null
echo "status $?"

### standard input
#= from outside
# ctr loses the end of its input when that comes before the task has started.
(echo from outside; sleep 2) | run $IMAGE c cat

### detach, list, kill, delete
#= RUNNING
ctr_run -d $IMAGE c sleep 100; ctr task ls | awk '{print $1, $3}'; ctr task kill -s 9 c
until_true 10 sh -c 'ctr task ls | grep -q STOPPED'; ctr task rm c; echo "status $?"; ctr container rm c

### exec without a terminal
#= status 5
ctr_run -d $IMAGE c sleep 100
says ctr task exec --exec-id e c sh -c 'exit 5'
ctr task exec --exec-id e --cwd /tmp --user 1000 c sh -c 'pwd; id; sleep 0.3'
(echo piped; sleep 2) | ctr task exec --exec-id e c cat
says ctr task exec --exec-id e c sh -c 'kill -9 $$'
ctr task exec --exec-id e c sh -c 'grep -E "^(Cap|NoNewPrivs|Seccomp)" /proc/self/status; sleep 0.3'

### exec with a terminal
#= 30 100
ctr_run -d $IMAGE c sleep 100
pty ctr task exec -t --exec-id e c sh -c 'sleep 0.5; stty size; exit 6' </dev/null; echo "status $?"

### exec of what cannot be executed
#= executable file not found
ctr_run -d $IMAGE c sleep 100
says ctr task exec --exec-id e c nosuch
says ctr task exec --exec-id e c /etc

### pause and resume
#= PAUSED
ctr_run -d $IMAGE c sleep 100; ctr task pause c; ctr task ls | awk 'NR > 1 {print $3}'
says ctr task exec --exec-id e c true
ctr task resume c; ctr task ls | awk 'NR > 1 {print $3}'; ctr task exec --exec-id e c sh -c 'echo awake; sleep 0.3'

### resume of what is not paused
#= status 1
ctr_run -d $IMAGE c sleep 100; says ctr task resume c

### ps
#= PID
ctr_run -d $IMAGE c sleep 100; ctr task ps c | awk '{print $1}' | sed 's/[0-9][0-9]*/NUMBER/'

### metrics
#= memory.usage_in_bytes
ctr_run -d $IMAGE c sleep 100; ctr task metrics c | awk '{print $1}' | grep -v '^c$'

### kill of a stopped task
#= status
ctr_run -d $IMAGE c true; until_true 10 sh -c 'ctr task ls | grep -q STOPPED'; says ctr task kill c

### delete with force
#= status 0
ctr_run -d $IMAGE c sleep 100; says ctr task rm -f c

### a root filesystem of a directory
#= alice
run --rootfs $ROOTFS c /bin/cat /etc/passwd

### limits
#= 67108864
run --memory-limit 67108864 --cpus 0.5 $IMAGE c sh -c 'cat /proc/self/cgroup | wc -l; ls /sys/fs/cgroup | wc -l'
ctr_run -d --memory-limit 67108864 $IMAGE c sleep 100
cat $(ls -d /sys/fs/cgroup{/memory,}/default/c/memory.{limit_in_bytes,max} 2>/dev/null)

### mounts
#= seen
mkdir -p $DIR/volume; echo seen > $DIR/volume/file
run --mount type=bind,src=$DIR/volume,dst=/v,options=rbind:ro $IMAGE c sh -c 'exec 2>&1; cat /v/file; echo x > /v/new' \
    2>&1
rm -r $DIR/volume

### a read-only root
#= Read-only file system
run --read-only $IMAGE c sh -c 'echo x > /x' 2>&1

### capabilities, no new privileges, seccomp
#= Seccomp:	2
run --cap-add CAP_NET_ADMIN --cap-drop CAP_CHOWN --seccomp $IMAGE c grep -E '^(Cap|NoNewPrivs|Seccomp)' \
    /proc/self/status
run --privileged-without-host-devices $IMAGE c true 2>/dev/null; true

### privileged
#~ loose
#= status
says run --privileged $IMAGE c grep ^CapEff /proc/self/status

### the host's network
#= lo
run --net-host $IMAGE c ls /sys/class/net

### environment and directory
#= A=1
run --env A=1 --cwd /tmp $IMAGE c sh -c 'env | sort; pwd; id'

### a device
#= crw
run --device /dev/zero $IMAGE c sh -c 'ls -l /dev/zero | cut -c1-10; head -c 3 /dev/zero | wc -c'

### a joined namespace
#= 2
ctr_run -d $IMAGE a sleep 100; pid=$(ctr task ls | awk '$1 == "a" {print $2}')
run --with-ns pid:/proc/$pid/ns/pid $IMAGE b ps -o comm | grep -c -e sleep -e ps

### a user namespace
#= 100000
run --uidmap 0:100000:65536 --gidmap 0:100000:65536 $IMAGE c cat /proc/self/uid_map

### a pid file
#= same
ctr_run -d --pid-file $DIR/pid $IMAGE c sleep 100
[ "$(cat $DIR/pid)" = "$(ctr task ls | awk '$1 == "c" {print $2}')" ] && echo same; rm -f $DIR/pid

### all mounts of a default container
#= proc /proc proc
run $IMAGE c cat /proc/mounts | mounts

### the daemon killed with SIGKILL finds its tasks again
#= still here
ctr_run -d $IMAGE c sleep 1000
pid=$(cat $DIR/containerd.pid); kill -9 $pid; until_gone $pid; engine_daemon
ctr task exec --exec-id e c sh -c 'echo still here; sleep 0.3'; ctr task ls | awk 'NR > 1 {print $3}'
ctr task kill -s 9 c; until_true 10 sh -c 'ctr task ls | grep -q STOPPED'; ctr task rm c; echo "status $?"

### the configuration for Kubernetes is understood
#= BinaryName = "/sbin/orlop"
#= runtime_type = "io.containerd.runc.v2"
containerd --config $HERE/../packaging/containerd/config.toml config dump |
    tr "'" '"' | grep -A30 'runtimes.orlop\]' | sed 's/^ *//; s,/usr/local/,/,'

### soak: many runs, four at a time, leave nothing behind
#= failed 0
#~ seconds 1500
one() { run $IMAGE soak$1 true >/dev/null 2>>$DIR/failures || echo "run $1" >> $DIR/failures; }
: > $DIR/failures
for i in $(seq ${SOAK_RUNS:-12}); do one $i & [ $((i % 4)) -ne 0 ] || wait; done; wait
echo "failed $(grep -c ^run $DIR/failures)"; head -5 $DIR/failures
