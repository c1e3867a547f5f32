# What the kubelet does on newer containerd than Debian bookworm's.  The format is that of docker.sh.

### a pod has a network by CNI
#= eth0
#= 1 packets received
a=$(cri pod one orlop --network); b=$(cri pod two orlop --network)
one=$(cri container $a one 0 --network sleep 1000); two=$(cri container $b two 0 --network sleep 1000)
cri exec $one ls /sys/class/net | grep eth0
address=$(cri exec $two ip -4 addr show eth0 | sed -n 's,.*inet \([0-9.]*\)/.*,\1,p')
cri exec $one ping -c 1 -W 5 $address | grep -o '1 packets received'

### a pod with a user namespace, and a volume whose ids are mapped
#= 0     300000      65536
#= uid 0
#= same user
#= written
#= owner 0
mkdir -p $DIR/volume; echo seen > $DIR/volume/file
pod=$(cri pod pod orlop --userns 300000)
a=$(cri container $pod a 0 --userns 300000 --mount $DIR/volume:/v sleep 1000)
b=$(cri container $pod b 0 --userns 300000 sleep 1000)
cri exec $a cat /proc/self/uid_map; cri exec $a stat -c 'uid %u' /v/file
[ "$(cri exec $a readlink /proc/self/ns/user)" = "$(cri exec $b readlink /proc/self/ns/user)" ] && echo same user
cri exec $a sh -c 'echo written > /v/new; cat /v/new'; stat -c 'owner %u' $DIR/volume/new
cri exec $a sh -c 'grep -E "^(CapEff|Seccomp):" /proc/self/status; stat -c %u /bin/busybox'
cri stop $a 0; cri state $a; cri rmp $pod; echo "status $?"; rm -r $DIR/volume

### a pod with a user namespace has its limits, and its kill for want of memory has a reason
#= 67108864
#= EXITED 137 OOMKilled
#~ loose
pod=$(cri pod pod orlop --userns 300000); a=$(cri container $pod a 67108864 --userns 300000 sleep 1000)
cri exec $a cat $MEMORY_LIMIT
c=$(cri container $pod c 16777216 --userns 300000 sh -c 'x=0123456789; while :; do x=$x$x; done')
until_true 40 eval "cri state $c | grep EXITED"; cri state $c

### one pid namespace for a pod
#= sleeps: 2
pod=$(cri pod pod orlop --pid)
a=$(cri container $pod a 0 --pid sleep 1000); b=$(cri container $pod b 0 --pid sleep 1000)
echo "sleeps: $(cri exec $a ps -o args | grep -c '^sleep 1000$')"
cri stop $a 0; cri state $a; cri state $b

### an ephemeral container in the pid namespace of another
#= sleep 4711
pod=$(cri pod pod orlop); a=$(cri container $pod a 0 sleep 4711); b=$(cri container $pod b 0 --target $a sleep 1000)
cri exec $b ps -o args | grep '^sleep' | sort
cri stop $b 0; cri state $a

### recursive read-only mounts
#= plain written
#= recursive Read-only file system
mkdir -p $DIR/volume/below; mount -t tmpfs below $DIR/volume/below
nsenter -t $(cat $DIR/holder.pid) -m mount -t tmpfs below $DIR/volume/below
pod=$(cri pod pod orlop)
a=$(cri container $pod a 0 --mount $DIR/volume:/v:ro sleep 1000)
b=$(cri container $pod b 0 --mount $DIR/volume:/v:rro sleep 1000)
echo plain $(cri exec $a sh -c 'echo x > /v/below/new && echo written')
echo recursive $(cri exec $b sh -c 'exec 2>&1; echo x > /v/below/new' | grep -o 'Read-only file system')
cri rmp $pod; nsenter -t $(cat $DIR/holder.pid) -m umount -l $DIR/volume/below
umount $DIR/volume/below; rm -r $DIR/volume

### exec probes, a hundred a second for five seconds
#= failed 0 of
#~ loose
pod=$(cri pod pod orlop); c=$(cri container $pod c 0 sleep 1000)
cri probe $c ${PROBE_RATE:-100} 5

### resized in place, up and down
#= 134217728
#= 50331648
pod=$(cri pod pod orlop); c=$(cri container $pod c 67108864 sleep 1000)
for size in 134217728 50331648 67108864; do
    cri update $c $size $((size / 1000)); cri exec $c sh -c "cat $MEMORY_LIMIT $CPU_QUOTA"
done
says cri update $c 4096 | tail -1 | cut -c1-8; cri exec $c cat $MEMORY_LIMIT

### stats are those of the container
#= yes
pod=$(cri pod pod orlop); c=$(cri container $pod c 67108864 sleep 1000)
until_true 20 eval '[ "$(cri stats $c | cut -d" " -f2)" -gt 0 ]'
[ "$(cri stats $c | cut -d' ' -f2)" -lt 67108864 ] && echo yes

### sysctls of the pod
#= 1
#= 777
pod=$(cri pod pod orlop --network --sysctl net.ipv4.ip_forward=1 --sysctl kernel.shmmax=777)
c=$(cri container $pod c 0 --network sleep 1000); cri exec $c cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax

### the default seccomp profile and a read-only root
#= Seccomp:	2
#= Read-only file system
pod=$(cri pod pod orlop); c=$(cri container $pod c 0 --seccomp --read-only sleep 1000)
cri exec $c grep ^Seccomp: /proc/self/status; cri exec $c sh -c 'exec 2>&1; echo x > /new'

### the daemon killed with SIGKILL finds a pod with a user namespace, and a container that waits for its start
#= CREATED
#= still here
#= started
pod=$(cri pod pod orlop --userns 300000); c=$(cri container $pod c 0 --userns 300000 sleep 1000)
w=$(cri container $pod w 0 --userns 300000 --created sleep 1000)
pid=$(cat $DIR/containerd.pid); kill -9 $pid; until_gone $pid; engine_daemon; until_true 30 cri version
cri state $c; cri state $w; cri exec $c echo still here; cri start $w; cri exec $w echo started
cri stop $c 0; cri rm $c; cri rmp $pod; echo "status $?"

### soak: many pods, four at a time
#= failed 0
#~ seconds 1500
one() { local pod c; pod=$(cri pod soak$1 orlop) && c=$(cri container $pod c$1 0 true) && cri rmp $pod ||
    echo "run $1" >> $DIR/failures; }
: > $DIR/failures
for i in $(seq ${SOAK_RUNS:-8}); do one $i >/dev/null 2>>$DIR/failures & [ $((i % 4)) -ne 0 ] || wait; done; wait
echo "failed $(grep -c ^run $DIR/failures)"; head -5 $DIR/failures

### rolled back: a pod made before the handler changed gets a container of runc's, and is stopped and removed
#= still here
#= of the other runtime
#= status 0
pod=$(cri pod pod orlop); c=$(cri container $pod c 0 sleep 1000)
pid=$(cat $DIR/containerd.pid); kill $pid; until_gone $pid
cp $DIR/of-this-machine.toml $DIR/kept; sed -i "s,BinaryName = .*,BinaryName = \"$(command -v runc)\"," \
    $DIR/of-this-machine.toml
engine_daemon; until_true 30 cri version
cri exec $c echo still here; d=$(cri container $pod d 0 sleep 1000); cri exec $d echo of the other runtime
cri stop $c 0; cri stop $d 0; cri rm $c; cri rm $d; cri rmp $pod; echo "status $?"
pid=$(cat $DIR/containerd.pid); kill $pid; until_gone $pid; mv $DIR/kept $DIR/of-this-machine.toml
engine_daemon; until_true 30 cri version
