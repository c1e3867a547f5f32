# What Docker's users do.  "### name" begins an operation; "#= text" must be in what it prints; everything printed and
# the exit status must be the same with every runtime.  "#~ loose" compares only the "#=" lines.

### run prints from inside its own namespaces
#= pid 1
run $IMAGE sh -c 'echo pid $$; hostname | wc -c; ls /'

### exit statuses are the program's
#= status 7
#= status 137
says run $IMAGE sh -c 'exit 7'
says run $IMAGE sh -c 'kill -9 $$'
says run --init $IMAGE sh -c 'kill -9 $$'

### a command that is not there is status 127
#= executable file not found in $PATH
#= status 127
says run $IMAGE nosuch
says run $IMAGE /no/such

### a directory as command is status 126
#= status 126
says run $IMAGE /etc

### a file that may not be executed is status 126
#= permission denied
#= status 126
says run $IMAGE /data/text

### a file of no known format is an exec format error
#= exec format error
#~ loose
says run $IMAGE /bin/garbage

### a working directory is made and used
#= /made/here
run -w /made/here $IMAGE pwd

### limits are seen in the cgroup
#= 67108864
#= 50000
#= 123
run --memory 64m --memory-swap 64m --cpus 0.5 --pids-limit 123 --cpu-shares 512 $IMAGE cat \
    $MEMORY_LIMIT $CPU_QUOTA $CPU_SHARES $PIDS_LIMIT

### a memory limit kills what exceeds it
#~ loose
#= status 137
says run --memory 16m --memory-swap 16m $IMAGE sh -c 'head -c 100m /dev/zero | tail; exit $?'

### cpuset and blkio weight
#= Cpus_allowed_list:	0
run --cpuset-cpus 0 --blkio-weight 300 $IMAGE grep Cpus_allowed_list /proc/self/status

### -it is a terminal with its size, and Ctrl-D ends it
#= tty
#= 30 100
printf 'tty; stty size; exit 3\n' | pty docker run --rm -it $IMAGE \
    sh -c 'sleep 0.5; tty; stty size; test -t 0 && test -t 1 && echo tty'

### -i passes standard input
#= from outside
echo from outside | run -i $IMAGE cat

### --init reaps and forwards
#= docker-init
run --init $IMAGE sh -c 'cat /proc/1/comm'

### volumes, read-only and read-write
#= seen
#= Read-only file system
#= written
mkdir -p $DIR/volume; echo seen > $DIR/volume/file
run -v $DIR/volume:/v:ro $IMAGE sh -c 'exec 2>&1; cat /v/file; echo x > /v/new' 2>&1
run -v $DIR/volume:/v $IMAGE sh -c 'echo written > /v/new; cat /v/new'
run -v named:/n $IMAGE sh -c 'echo kept > /n/f'; run -v named:/n $IMAGE cat /n/f
rm -r $DIR/volume

### volumes with propagation
#= shared:
mkdir -p $DIR/volume; mount -t tmpfs v $DIR/volume; mount --make-shared $DIR/volume
run --mount type=bind,source=/tmp,target=/v,bind-propagation=rslave $IMAGE true; echo "shared: $?"
umount $DIR/volume; rmdir $DIR/volume

### a read-only root with a tmpfs
#= Read-only file system
#= size=1024k
run --read-only --tmpfs /t:size=1m,mode=700 $IMAGE sh -c 'exec 2>&1; echo x > /x; echo y > /t/y && cat /t/y;
    grep " /t " /proc/mounts; ls -ld /t | cut -c1-10' 2>&1

### --shm-size
#= size=8192k
run --shm-size 8m $IMAGE grep /dev/shm /proc/mounts

### all mounts of a default container
#= proc /proc proc
run $IMAGE cat /proc/mounts | mounts

### default capabilities, and added and dropped ones
#= CapEff
run $IMAGE grep -E '^(Cap|NoNewPrivs|Seccomp|Groups|Uid|Gid)' /proc/self/status
run --cap-add NET_ADMIN --cap-drop CHOWN $IMAGE grep ^Cap /proc/self/status
run --cap-drop ALL -u 1000 $IMAGE grep ^Cap /proc/self/status

### users and groups by name and number
#= uid=1000(alice) gid=1000(alice)
# Newer Docker names a group twice, and runc sets it twice.
run -u alice $IMAGE id; run -u 1234:5678 $IMAGE id
run -u 1000 --group-add audio --group-add 777 $IMAGE id | sed 's/29(audio),29(audio)/29(audio)/'
run -u alice $IMAGE sh -c 'echo $HOME'

### an unknown user is refused
#= unable to find user
says run -u nobodyhere $IMAGE id

### ulimits
#= 100
run --ulimit nofile=100:200 --ulimit core=0 $IMAGE sh -c 'ulimit -n; ulimit -Hn; ulimit -c'

### environment and hostname
#= A=1
run -h myname --domainname d.example -e A=1 $IMAGE sh -c 'hostname; env | sort; cat /proc/sys/kernel/domainname'

### the default seccomp profile, none, and a file
#= Seccomp:	2
#= Seccomp:	0
#= Operation not permitted
run $IMAGE grep Seccomp: /proc/self/status
run --security-opt seccomp=unconfined $IMAGE grep Seccomp: /proc/self/status
echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],
    "action":"SCMP_ACT_ERRNO"}]}' > $DIR/profile
run --security-opt seccomp=$DIR/profile $IMAGE mkdir /new 2>&1
rm $DIR/profile

### no-new-privileges
#= NoNewPrivs:	1
run --security-opt no-new-privileges $IMAGE grep NoNewPrivs /proc/self/status

### sysctls
#= 1
#= 777
run --sysctl net.ipv4.ip_forward=1 --sysctl kernel.shmmax=777 $IMAGE \
    sh -c 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax'

### a sysctl that is not of a namespace is refused
#= status 125
says run --network host --sysctl vm.swappiness=1 $IMAGE true

### devices
#= crw
run --device /dev/zero:/dev/mine:r $IMAGE sh -c 'exec 2>&1; ls -l /dev/mine | cut -c1-10; head -c 3 /dev/mine | wc -c;
    ls /dev; echo x > /dev/mine' 2>&1
run --device /dev/null:/dev/second:rwm $IMAGE sh -c 'echo x > /dev/second && echo written'

### a device that was not given cannot be made or opened
#= not permitted
run $IMAGE sh -c 'mknod /d b 254 0; cat /d' 2>&1

### cgroup namespaces
#= 0
run --cgroupns private $IMAGE sh -c 'grep -c docker /proc/self/cgroup; grep -c . /proc/self/cgroup'
run --cgroupns host $IMAGE sh -c 'grep -c docker /proc/self/cgroup'

### pid namespace of the host, ipc and uts of the host
#= same
run --pid host --uts host --ipc host $IMAGE sh -c 'test $$ -gt 1 && echo same'

### pid namespace of another container
#= sleep
docker run -d --name first $IMAGE sleep 100 >/dev/null
run --pid container:first --network container:first $IMAGE ps -o comm | sort | uniq
docker rm -f first >/dev/null

### privileged
#~ loose
#= status
says run --privileged $IMAGE sh -c 'grep CapEff /proc/self/status; ls /dev | grep -c .'

### networks: a bridge, two containers that reach one another by name, none and host
#= 1 packets received
docker network create net >/dev/null
docker run -d --name server --network net $IMAGE sleep 100 >/dev/null
run --network net $IMAGE ping -c 1 -W 5 server | grep -o '1 packets received'
run --network none $IMAGE ls /sys/class/net
run $IMAGE sh -c 'ls /sys/class/net; ip addr show lo | grep -c LOOPBACK,UP'
docker rm -f server >/dev/null; docker network rm net

### a published port answers
#= hello
docker run -d --name web -p 127.0.0.1:8099:80 $IMAGE sh -c 'mkdir w; echo hello > w/index.html;
    httpd -f -p 80 -h w' >/dev/null
inside() { nsenter -t $(cat $DIR/docker.pid) -n "$@"; }
until_true 20 inside busybox wget -qO- http://127.0.0.1:8099/
inside busybox wget -qO- http://127.0.0.1:8099/
docker rm -f web >/dev/null

### exec: status, environment, user, directory, standard input
#= status 5
docker run -d --name box $IMAGE sleep 100 >/dev/null
says docker exec box sh -c 'exit 5'
docker exec -e B=2 -w /tmp -u alice box sh -c 'echo $B; pwd; id'
echo piped | docker exec -i box cat
says docker exec box sh -c 'kill -9 $$'
docker exec box grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/self/status
docker exec box sh -c 'cat /proc/self/cgroup | wc -l; readlink /proc/self/ns/pid | wc -l'

### exec -it is a terminal
#= 30 100
docker run -d --name box $IMAGE sleep 100 >/dev/null
pty docker exec -it box sh -c 'sleep 0.5; tty; stty size; exit 4' </dev/null; echo "status $?"

### exec of what cannot be executed
#= status 126
docker run -d --name box $IMAGE sleep 100 >/dev/null
says docker exec box nosuch
says docker exec box /etc
says docker exec box /data/text

### exec in the background
#= done
docker run -d --name box $IMAGE sleep 100 >/dev/null
docker exec -d box sh -c 'echo done > /made'
until_true 10 docker exec box test -s /made; docker exec box cat /made

### top
#= sleep 100
docker run -d --name box $IMAGE sleep 100 >/dev/null
docker top box -o pid,comm,args | sed -E 's/^ *[0-9]+ */PID /; s/ +/ /g'

### stats
#= / 64MiB
docker run -d --name box --memory 64m $IMAGE sleep 100 >/dev/null
docker stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' box | sed 's/[0-9.]*[KM]iB \//USE \//'

### pause and unpause
#= Paused=true
#= is paused
docker run -d --name box $IMAGE sleep 100 >/dev/null
docker pause box; docker inspect -f 'Paused={{.State.Paused}}' box
says docker exec box true
docker unpause box; docker exec box echo awake

### update
#= 33554432
docker run -d --name box --memory 64m --memory-swap 64m $IMAGE sleep 100 >/dev/null
docker update --memory 32m --memory-swap 32m --cpu-shares 300 --pids-limit 50 box
docker exec box cat $MEMORY_LIMIT $CPU_SHARES $PIDS_LIMIT

### an update that cannot be applied is an error
#= status 1
docker run -d --name box --memory 64m --memory-swap 64m $IMAGE sleep 100 >/dev/null
says docker update --cpuset-cpus 999 box
docker exec box cat $MEMORY_LIMIT

### stop asks, then kills
#= got TERM
docker run -d --name box $IMAGE sh -c 'trap "echo got TERM; exit 9" TERM; echo ready; while :; do sleep 0.1;
    done' >/dev/null
until_true 10 sh -c 'docker logs box | grep -q ready'
docker stop box; docker inspect -f '{{.State.ExitCode}} {{.State.Status}}' box; docker logs box
docker run -d --name other $IMAGE sleep 100 >/dev/null; docker stop -t 1 other
docker inspect -f '{{.State.ExitCode}}' other

### kill with a signal
#= 143
docker run -d --name box --init $IMAGE sleep 100 >/dev/null
docker kill -s TERM box; docker wait box

### start again, restart
#= 2
docker run --name box $IMAGE sh -c 'echo x >> /count; wc -l < /count'
docker start -a box
docker run -d --name other $IMAGE sleep 100 >/dev/null; docker restart -t 0 other; docker exec other echo again

### a restart policy starts it again
#= restarted
docker run -d --name box --restart on-failure:2 $IMAGE sh -c 'echo once; exit 1' >/dev/null
until_true 30 sh -c '[ "$(docker inspect -f "{{.RestartCount}} {{.State.Status}}" box)" = "2 exited" ]'
docker inspect -f 'restarted {{.RestartCount}} {{.State.ExitCode}}' box; docker logs box

### logs
#= to stderr
docker run --name box $IMAGE sh -c 'echo to stdout; echo to stderr >&2' >/dev/null 2>&1
docker logs box 2>&1 | sort

### a health check
#= healthy
docker run -d --name box --health-cmd 'test -e /etc/passwd' --health-interval 1s $IMAGE sleep 100 >/dev/null
until_true 30 sh -c '[ "$(docker inspect -f "{{.State.Health.Status}}" box)" = healthy ]'
docker inspect -f '{{.State.Health.Status}}' box

### compose
#= hello from two
mkdir -p $DIR/compose; cat > $DIR/compose/docker-compose.yml <<'YML'
version: "2.4"
services:
  one:
    image: localhost/busybox:latest
    command: sleep 100
    mem_limit: 64m
  two:
    image: localhost/busybox:latest
    command: sh -c 'ping -c 1 -W 5 one >/dev/null && echo hello from two'
    depends_on: [one]
YML
cd $DIR/compose; docker-compose up -d >/dev/null 2>&1; until_true 20 sh -c 'docker-compose logs | grep -q hello'
docker-compose logs two | grep -o 'hello from two'
docker-compose exec -T one cat $MEMORY_LIMIT
docker-compose down -t 0 >/dev/null 2>&1; echo "down $?"; rm -r $DIR/compose

### build
#= built here
mkdir -p $DIR/build
printf '%s\n' 'FROM localhost/busybox:latest' 'RUN echo built here > /built && id -u' 'USER alice' 'RUN id -un' \
    'CMD cat /built' > $DIR/build/Dockerfile
DOCKER_BUILDKIT=0 docker build -q -t localhost/built $DIR/build >/dev/null; run localhost/built
docker rmi -f localhost/built >/dev/null; rm -r $DIR/build

### cp in and out
#= copied
docker run -d --name box $IMAGE sleep 100 >/dev/null
echo copied > $DIR/file; docker cp $DIR/file box:/tmp/file; docker exec box cat /tmp/file
docker cp box:/etc/passwd $DIR/file; head -1 $DIR/file; rm $DIR/file

### create, diff, commit, rename, port, wait
#= A /new
docker create --name box $IMAGE sh -c 'echo x > /new' >/dev/null; docker start box; docker wait box; docker diff box
docker rename box other; docker rm other

### attach
#= typed
docker run -d -i --name box $IMAGE sh -c 'read line; echo got $line' >/dev/null
(sleep 0.5; echo typed; sleep 0.5) | docker attach box

### a createRuntime hook mounts in the container, as GPU hooks do
#= from-the-hook
run --runtime hooked $IMAGE sh -c 'cat /hooked/file; grep -c hooked /proc/mounts'

### masked and read-only paths
#= Read-only file system
run $IMAGE sh -c 'exec 2>&1; cat /proc/kcore | wc -c; cat /proc/keys /proc/timer_list | wc -c; ls /sys/firmware |
    wc -l; echo x > /proc/sysrq-trigger; echo 1 > /proc/sys/kernel/panic' 2>&1

### systempaths unconfined
#= status 0
says run --security-opt systempaths=unconfined $IMAGE sh -c 'grep -c "tmpfs /proc" /proc/mounts; true'

### device cgroup rules
#= made
run --device-cgroup-rule 'c 1:5 rwm' $IMAGE sh -c 'mknod /z c 1 5 && head -c 2 /z | wc -c && echo made' 2>&1

### oom score, cgroup parent, stop signal
#= 500
run --oom-score-adj 500 --cgroup-parent /orlop-parent $IMAGE cat /proc/self/oom_score_adj
rmdir /sys/fs/cgroup/*/orlop-parent 2>/dev/null; true

### the daemon killed with SIGKILL finds its containers again
#= still here
docker run -d --name box $IMAGE sleep 1000 >/dev/null
kill -9 $(cat $DIR/docker.pid); until_gone $(cat $DIR/docker.pid)
sed -i 's/^{/{"live-restore":true,/' $DIR/daemon.json
inner=$(cat $DIR/exec/containerd/containerd.pid); kill $inner; until_gone $inner
rm -f $DIR/exec/containerd/containerd.pid
engine_daemon
docker start box >/dev/null; docker exec box echo still here; docker stop -t 0 box; docker rm box

### soak: many runs, four at a time, leave nothing behind
#= failed 0
#~ seconds 1500
one() { docker run --rm $IMAGE true >/dev/null 2>>$DIR/failures || echo "run $1" >> $DIR/failures; }
: > $DIR/failures
for i in $(seq ${SOAK_RUNS:-12}); do one $i & [ $((i % 4)) -ne 0 ] || wait; done; wait
echo "failed $(grep -c ^run $DIR/failures)"; head -5 $DIR/failures

### userns-remap: containers in a user namespace of the daemon's choosing
#= 0     200000      65536
#= uid=0(root)
#= written
#= owner 200000
#~ seconds 180
remap() { pid=$(cat $DIR/docker.pid); kill $pid; until_gone $pid; jq "$1" $DIR/daemon.json > $DIR/daemon.new
    mv $DIR/daemon.new $DIR/daemon.json; engine_daemon; }
echo games:200000:65536 > $DIR/subid
nsenter -t $(cat $DIR/holder.pid) -m sh -c "mount --bind $DIR/subid /etc/subuid; mount --bind $DIR/subid /etc/subgid"
remap '."userns-remap" = "games"'; docker load -q -i $DIR/image.tar >/dev/null
run $IMAGE cat /proc/self/uid_map; run $IMAGE id
run -v remapped:/v $IMAGE sh -c 'echo written > /v/file; cat /v/file'
docker run -d --name mapped $IMAGE sleep 1000 >/dev/null; docker exec mapped sh -c 'id -u; cat /proc/self/gid_map'
stat -c 'owner %u' /proc/$(docker inspect -f '{{.State.Pid}}' mapped)/root/bin
says run --privileged $IMAGE true 2>&1 | grep -o 'privileged mode is incompatible with user namespaces'
docker rm -f mapped >/dev/null; docker volume rm remapped >/dev/null; remap 'del(."userns-remap")'
nsenter -t $(cat $DIR/holder.pid) -m umount /etc/subuid /etc/subgid
