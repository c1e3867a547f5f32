# What the kubelet does with a pod of the RuntimeClass "orlop".  The format is that of docker.sh.

### the interface answers
#= containerd
cri version

### a pod of the handler
#= orlop
pod=$(cri pod pod orlop); cri handler $pod; cri rmp $pod; echo "status $?"

### a container of a pod runs and ends
#= EXITED 7
pod=$(cri pod pod orlop); c=$(cri container $pod c 0 sh -c 'exit 7')
until_true 20 eval "cri state $c | grep EXITED"; cri state $c; cri rm $c; cri rmp $pod; echo "status $?"

### exec, as probes use it
#= inside
#= status 5
pod=$(cri pod pod orlop); c=$(cri container $pod c 0 sleep 1000); cri state $c
cri exec $c echo inside; cri exec $c sh -c 'exit 5'
cri exec $c nosuch 2>&1 | grep -o 'executable file not found in $PATH'

### limits, and their change in place
#= 67108864
#= 134217728
pod=$(cri pod pod orlop); c=$(cri container $pod c 67108864 sleep 1000)
cri exec $c cat $MEMORY_LIMIT; cri update $c 134217728
cri exec $c cat $MEMORY_LIMIT

### out of memory has its reason
#= EXITED 137 OOMKilled
#~ loose
pod=$(cri pod pod orlop); c=$(cri container $pod c 16777216 sh -c 'x=0123456789; while :; do x=$x$x; done')
until_true 40 eval "cri state $c | grep EXITED"; cri state $c

### two containers of a pod share its namespaces
#= shared
pod=$(cri pod pod orlop); a=$(cri container $pod a 0 sleep 1000); b=$(cri container $pod b 0 sleep 1000)
[ "$(cri exec $a readlink /proc/self/ns/ipc)" = "$(cri exec $b readlink /proc/self/ns/ipc)" ] && echo shared
[ "$(cri exec $a readlink /proc/self/ns/pid)" = "$(cri exec $b readlink /proc/self/ns/pid)" ] || echo "own pids"

### stop asks, then kills
#= EXITED 137
pod=$(cri pod pod orlop); c=$(cri container $pod c 0 sh -c 'trap "" TERM; while :; do sleep 1; done')
cri stop $c 1; cri state $c

### a command that is not there
#= executable file not found in $PATH
pod=$(cri pod pod orlop); cri container $pod c 0 nosuch 2>&1 |
    grep -o 'exec: "nosuch": executable file not found in $PATH'

### an annotation of the pod asks for the reaping init
#= sh
#~ loose
pod=$(cri pod pod orlop orlop.init=true); c=$(cri container $pod c 0 sh -c 'sleep 1000; true')
cri exec $c ps -o pid,comm

### the daemon killed with SIGKILL finds its pods again
#= RUNNING
#= still here
pod=$(cri pod pod orlop); c=$(cri container $pod c 0 sleep 1000)
pid=$(cat $DIR/containerd.pid); kill -9 $pid; until_gone $pid; engine_daemon; until_true 30 cri version
cri state $c; cri exec $c echo still here; cri stop $c 0; cri rm $c; cri rmp $pod; echo "status $?"

### CRI-O's configuration and the RuntimeClass name the same handler
#= /sbin/orlop oci
#= handler orlop
/usr/bin/python3 - <<PYTHON
import tomllib
runtimes = tomllib.load(open("$HERE/../packaging/crio/50-orlop.conf", "rb"))["crio"]["runtime"]["runtimes"]
lines = open("$HERE/../packaging/kubernetes/runtimeclass.yaml")
handler = next(line.split()[1] for line in lines if line.startswith("handler:"))
print("handler", handler)
print(runtimes[handler]["runtime_path"].removeprefix("/usr/local"), runtimes[handler]["runtime_type"])
PYTHON
