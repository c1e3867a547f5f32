# What Podman's users do.  The format is that of docker.sh.

### run prints from inside its own namespaces
#= pid 1
run $IMAGE sh -c 'echo pid $$; ls /'

### exit statuses are the program's
#= status 7
#= status 137
says run $IMAGE sh -c 'exit 7'
says run $IMAGE sh -c 'kill -9 $$'
says run --init $IMAGE sh -c 'kill -9 $$'

### what cannot be executed
#= status 127
#= status 126
says run $IMAGE nosuch
says run $IMAGE /no/such
says run $IMAGE /data/text

### a directory as command is status 126
#~ loose
#= status 126 status 126
# Podman makes 255 of an exec whose message is that of runc since 1.2.
podman run -d --name c $IMAGE sleep 100 >/dev/null
echo $(says run $IMAGE /etc | tail -1) $(says podman exec c /etc | tail -1)

### a file of no known format is an exec format error
#= xec format error
#~ loose
says run $IMAGE /bin/garbage

### a directory that is not there
#= status
says run -w /no/such $IMAGE pwd

### a terminal
#= 30 100
pty podman run --rm -it $IMAGE sh -c 'sleep 0.5; tty; stty size; exit 3' </dev/null; echo "status $?"

### standard input
#= from outside
echo from outside | run -i $IMAGE cat

### limits are seen in the cgroup
#= 67108864
#= 123
run --memory 64m --memory-swap 64m --cpus 0.5 --pids-limit 123 --cpu-shares 512 $IMAGE cat \
    $MEMORY_LIMIT $CPU_QUOTA $CPU_SHARES $PIDS_LIMIT

### volumes
#= seen
#= Read-only file system
mkdir -p $DIR/volume; echo seen > $DIR/volume/file
run -v $DIR/volume:/v:ro $IMAGE sh -c 'exec 2>&1; cat /v/file; echo x > /v/new' 2>&1
run -v $DIR/volume:/v:U -u alice $IMAGE sh -c 'echo mine > /v/mine; cat /v/mine'
run -v named:/n $IMAGE sh -c 'echo kept > /n/f'; run -v named:/n $IMAGE cat /n/f
rm -r $DIR/volume

### an overlay volume and an image volume
#= seen
mkdir -p $DIR/volume; echo seen > $DIR/volume/file
run -v $DIR/volume:/v:O $IMAGE sh -c 'cat /v/file; echo x > /v/new && ls /v'
run --mount type=image,source=$IMAGE,destination=/i $IMAGE ls /i/etc
ls $DIR/volume; rm -r $DIR/volume

### a volume with ids mapped
#~ loose
#= status
mkdir -p $DIR/volume; echo seen > $DIR/volume/file
says run --uidmap 0:100000:65536 -v $DIR/volume:/v:idmap $IMAGE sh -c 'stat -c %u /v/file'
rm -r $DIR/volume

### a read-only root with its tmpfs
#= Read-only file system
run --read-only --tmpfs /t:size=1m $IMAGE sh -c 'exec 2>&1; echo x > /x; echo y > /t/y && cat /t/y;
    echo z > /run/z && echo run' 2>&1

### a tmpfs with what was there
#= text
run --mount type=tmpfs,destination=/data,tmpfs-size=1m $IMAGE sh -c 'ls /data'

### default capabilities, added and dropped
#= CapEff
run $IMAGE grep -E '^(Cap|NoNewPrivs|Seccomp|Groups|Uid|Gid)' /proc/self/status
run --cap-add NET_ADMIN --cap-drop CHOWN $IMAGE grep ^Cap /proc/self/status
run --cap-drop all -u 1000 $IMAGE grep ^Cap /proc/self/status

### users and groups
#= uid=1000(alice)
run -u alice $IMAGE id; run -u 1234:5678 $IMAGE id; run -u 1000 --group-add audio $IMAGE id
run --umask 0077 $IMAGE sh -c umask

### --group-add keep-groups
#= status
says run --group-add keep-groups $IMAGE id

### ulimits
#= 100
run --ulimit nofile=100:200 --ulimit nproc=4096:8192 $IMAGE sh -c 'ulimit -n; ulimit -Hn'

### environment, hostname, annotations
#= A=1
run -h myname -e A=1 --annotation x=y $IMAGE sh -c 'hostname; env | sort'

### seccomp
#= Seccomp:	2
#= Operation not permitted
run $IMAGE grep Seccomp: /proc/self/status
run --security-opt seccomp=unconfined $IMAGE grep Seccomp: /proc/self/status
echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],
    "action":"SCMP_ACT_ERRNO"}]}' > $DIR/profile
run --security-opt seccomp=$DIR/profile $IMAGE mkdir /new 2>&1; rm $DIR/profile

### no-new-privileges, masks
#= NoNewPrivs:	1
run --security-opt no-new-privileges $IMAGE grep NoNewPrivs /proc/self/status
run --security-opt mask=/etc/passwd $IMAGE sh -c 'wc -c < /etc/passwd'
run --security-opt unmask=ALL $IMAGE sh -c 'grep -c "tmpfs /proc" /proc/mounts'

### sysctls
#= 1
run --sysctl net.ipv4.ip_forward=1 --sysctl kernel.shmmax=777 $IMAGE \
    sh -c 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax'

### devices
#= crw
run --device /dev/zero:/dev/mine:r $IMAGE sh -c 'exec 2>&1; ls -l /dev/mine | cut -c1-10; head -c 3 /dev/mine | wc -c;
    ls /dev; echo x > /dev/mine' 2>&1

### --init
#= podman-init
run --init $IMAGE cat /proc/1/comm

### --rootfs
#= alice
run --rootfs $ROOTFS cat /etc/passwd

### --rootfs with an overlay
#= alice
run --rootfs $ROOTFS:O sh -c 'echo x > /over; cat /etc/passwd'; ls $ROOTFS | grep -c over

### user namespaces
#= 100000
run --uidmap 0:100000:65536 $IMAGE sh -c 'cat /proc/self/uid_map; id -u; stat -c %u /etc/passwd; ls /dev;
    cat /proc/sys/kernel/hostname | wc -l'
run --uidmap 0:100000:65536 -u alice $IMAGE id

### --userns=auto
#= status
says run --userns auto:size=1000 $IMAGE sh -c 'awk "{print \$3}" /proc/self/uid_map'

### --preserve-fds
#= through the fd
echo through the fd > $DIR/file; run --preserve-fds 1 $IMAGE cat /proc/self/fd/3 3< $DIR/file; rm $DIR/file

### cgroup namespaces
#= 10
run --cgroupns private $IMAGE sh -c 'grep -c libpod /proc/self/cgroup'
run --cgroupns host $IMAGE sh -c 'grep -c libpod /proc/self/cgroup'

### host namespaces
#= status 0
says run --pid host --ipc host --uts host --net host $IMAGE sh -c 'test $$ -gt 1'

### exec: status, environment, user, directory, standard input
#= status 5
podman run -d --name c $IMAGE sleep 100 >/dev/null
says podman exec c sh -c 'exit 5'
podman exec -e B=2 -w /tmp -u alice c sh -c 'echo $B; pwd; id'
echo piped | podman exec -i c cat
says podman exec c sh -c 'kill -9 $$'
podman exec c grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/self/status

### exec with a terminal
#= 30 100
podman run -d --name c $IMAGE sleep 100 >/dev/null
pty podman exec -it c sh -c 'sleep 0.5; tty; stty size; exit 4' </dev/null; echo "status $?"

### exec of what cannot be executed
#= status 127
#= status 126
podman run -d --name c $IMAGE sleep 100 >/dev/null
says podman exec c nosuch
says podman exec c /data/text

### exec --preserve-fds and in the background
#= through the fd
podman run -d --name c $IMAGE sleep 100 >/dev/null
echo through the fd > $DIR/file; podman exec --preserve-fds 1 c cat /proc/self/fd/3 3< $DIR/file; rm $DIR/file
podman exec -d c sh -c 'echo done > /made' | wc -l; until_true 10 podman exec c test -s /made; podman exec c cat /made

### pods share namespaces
#= sleep
podman pod create --name p --share net,ipc,uts --infra-image $IMAGE --infra-command 'sleep 1000' >/dev/null
podman run -d --pod p --name a $IMAGE sleep 100 >/dev/null; podman run -d --pod p --name b $IMAGE sleep 100 >/dev/null
[ "$(podman exec a readlink /proc/self/ns/net)" = "$(podman exec b readlink /proc/self/ns/net)" ] && echo same net
[ "$(podman exec a readlink /proc/self/ns/pid)" = "$(podman exec b readlink /proc/self/ns/pid)" ] || echo own pid
podman exec a ps -o comm | tail -n +2 | sort
podman pod stop -t 0 p >/dev/null; podman pod rm p >/dev/null; echo "status $?"

### stats
#= / 67.11MB
podman run -d --name c --memory 64m $IMAGE sleep 100 >/dev/null
podman stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' c | sed 's/ [0-9.]*[kM]*B \// USE \//'

### pause and unpause
#= paused
podman run -d --name c $IMAGE sleep 100 >/dev/null
podman pause c >/dev/null; podman inspect -f '{{.State.Status}}' c; says podman exec c true
podman unpause c >/dev/null; podman exec c echo awake

### stop asks, then kills
#= got TERM
podman run -d --name c $IMAGE sh -c 'trap "echo got TERM; exit 9" TERM; echo ready; while :; do sleep 0.1;
    done' >/dev/null
until_true 10 sh -c 'podman logs c | grep -q ready'
podman stop c >/dev/null; podman inspect -f '{{.State.ExitCode}}' c; podman logs c
podman run -d --name d $IMAGE sleep 100 >/dev/null; podman stop -t 1 d >/dev/null 2>&1
podman inspect -f '{{.State.ExitCode}}' d

### kill, wait, start again
#= 143
podman run -d --name c --init $IMAGE sleep 100 >/dev/null; podman kill -s TERM c >/dev/null; podman wait c
podman start c >/dev/null; podman exec c echo again

### top
#= sleep
podman run -d --name c $IMAGE sleep 100 >/dev/null; podman top c pid comm user | awk '{print $1, $2, $3}'

### logs and attach
#= to stderr
podman run --name c $IMAGE sh -c 'echo to stdout; echo to stderr >&2' >/dev/null 2>&1; podman logs c 2>&1 | sort

### a health check
#= healthy
podman run -d --name c --health-cmd 'test -e /etc/passwd' --health-interval disable $IMAGE sleep 100 >/dev/null
podman healthcheck run c; echo "status $?"; podman inspect -f '{{.State.Health.Status}}' c

### generate and play kube
#= Running
podman pod create --name pp --infra-image $IMAGE --infra-command 'sleep 1000' >/dev/null
podman run -d --name c --pod pp $IMAGE sleep 100 >/dev/null
podman generate kube pp > $DIR/kube.yml; podman pod rm -f -t 0 pp >/dev/null
podman play kube --network none $DIR/kube.yml >/dev/null; podman pod ps --format '{{.Status}}'
podman play kube --down $DIR/kube.yml >/dev/null; rm $DIR/kube.yml

### build with buildah
#= built here
mkdir -p $DIR/build
printf '%s\n' 'FROM localhost/busybox:latest' 'RUN echo built here > /built && id -u' 'USER alice' 'RUN id -un' \
    'CMD cat /built' > $DIR/build/Dockerfile
podman --runtime $RUNTIME_PATH build --isolation oci --network none --signature-policy $DIR/policy.json \
    -t localhost/built $DIR/build 2>&1 | grep -E '^(0|alice)$'
run localhost/built; podman rmi -f localhost/built >/dev/null; rm -r $DIR/build

### cp in and out
#= copied
podman run -d --name c $IMAGE sleep 100 >/dev/null
echo copied > $DIR/file; podman cp $DIR/file c:/tmp/file; podman exec c cat /tmp/file; rm $DIR/file

### --systemd=always
#= container=podman
run --systemd always $IMAGE sh -c 'env | grep ^container=; grep -c -E " (/run|/tmp|/var/log/journal) " /proc/mounts;
    grep " /sys/fs/cgroup/systemd " /proc/mounts | cut -d" " -f4 | cut -c1-2'

### privileged
#~ loose
#= status
says run --privileged $IMAGE sh -c 'grep CapEff /proc/self/status; ls /dev | wc -l'

### hooks from a directory
#= from-the-hook
cat > $DIR/hooks/mount.json <<JSON
{"version":"1.0.0","hook":{"path":"$HERE/engines/fixtures/mount-hook","args":["mount-hook"],
    "env":["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},"when":{"always":true},"stages":["createRuntime"]}
JSON
podman --hooks-dir $DIR/hooks run --rm $IMAGE sh -c 'cat /hooked/file'; rm $DIR/hooks/mount.json

### all mounts of a default container
#= proc /proc proc
run $IMAGE cat /proc/mounts | mounts

### a pid namespace of another container
#= sleep
podman run -d --name first $IMAGE sleep 100 >/dev/null
run --pid container:first --net container:first $IMAGE ps -o comm | tail -n +2 | sort | uniq

### a read-only volume with all below it
#= status
mkdir -p $DIR/volume/below; mount -t tmpfs below $DIR/volume/below
says run -v $DIR/volume:/v:rbind,ro $IMAGE sh -c 'echo x > /v/new'
umount $DIR/volume/below; rm -r $DIR/volume

### conmon killed with SIGKILL: the container is found, stopped and removed
#= removed
podman run -d --name c $IMAGE sleep 1000 >/dev/null
kill -9 $(podman inspect -f '{{.State.ConmonPid}}' c); podman rm -f -t 0 c >/dev/null 2>&1; podman ps -aq | wc -l
echo removed

### soak: many runs, four at a time, leave nothing behind
#= failed 0
#~ seconds 1500
one() { podman run --rm --net none $IMAGE true >/dev/null 2>>$DIR/failures || echo "run $1" >> $DIR/failures; }
: > $DIR/failures
for i in $(seq ${SOAK_RUNS:-12}); do one $i & [ $((i % 4)) -ne 0 ] || wait; done; wait
echo "failed $(grep -c ^run $DIR/failures)"; head -5 $DIR/failures
