# What Docker's users do with a newer Docker than Debian bookworm's.  The format is that of docker.sh.

### BuildKit: cache, secret, bind and tmpfs mounts of a step
#= from the cache
#= from the secret
#= bound
#= tmpfs /t
#~ seconds 120
mkdir -p $DIR/build; echo from the secret > $DIR/secret; echo bound > $DIR/build/file
cat > $DIR/build/Dockerfile <<'BUILD'
FROM localhost/busybox:latest
RUN --mount=type=cache,target=/cache echo from the cache > /cache/file
RUN --mount=type=cache,target=/cache cp /cache/file /cached
RUN --mount=type=secret,id=mine cat /run/secrets/mine > /secret
RUN --mount=type=bind,source=file,target=/file cat /file > /bound; echo x > /file || echo read-only > /refused
RUN --mount=type=tmpfs,target=/t grep -o 'tmpfs /t' /proc/mounts > /tmpfs
CMD cat /cached /secret /bound /refused /tmpfs
BUILD
says docker build -q --secret id=mine,src=$DIR/secret -t localhost/built $DIR/build | tail -1
run localhost/built; docker rmi -f localhost/built >/dev/null; rm -r $DIR/build $DIR/secret

### BuildKit: stages side by side
#= one two three
#~ seconds 120
mkdir -p $DIR/build
cat > $DIR/build/Dockerfile <<'BUILD'
FROM localhost/busybox:latest AS one
RUN sleep 1; echo one > /one
FROM localhost/busybox:latest AS two
RUN sleep 1; echo two > /two
FROM localhost/busybox:latest AS three
RUN sleep 1; echo three > /three
FROM localhost/busybox:latest
COPY --from=one /one /
COPY --from=two /two /
COPY --from=three /three /
RUN echo $(cat /one /two /three) > /all
CMD cat /all
BUILD
says docker build -q -t localhost/built $DIR/build | tail -1
run localhost/built; docker rmi -f localhost/built >/dev/null; rm -r $DIR/build

### BuildKit: the failure of a step is its status, and a step's program that is not there is 127
#= exit code: 5
#= exit code: 127
#~ seconds 120
mkdir -p $DIR/build
for command in 'exit 5' 'nosuch'; do
    printf '%s\n' 'FROM localhost/busybox:latest' "RUN $command" > $DIR/build/Dockerfile
    docker build -q $DIR/build 2>&1 | grep -o 'exit code: [0-9]*' | tail -1
done
rm -r $DIR/build

### BuildKit: a cancelled build leaves no process and no container
#= begun
#= cancelled
#= nothing
#~ seconds 120
mkdir -p $DIR/build
printf '%s\n' 'FROM localhost/busybox:latest' 'RUN touch /begun; exec sleep 4711' > $DIR/build/Dockerfile
docker build -q $DIR/build >/dev/null 2>&1 & build=$!
until_true 30 pgrep -f '^sleep 4711' && echo begun; kill -INT $build; wait $build && echo finished || echo cancelled
until_true 20 sh -c '! pgrep -f "^sleep 4711"'; pgrep -f '^sleep 4711' || echo nothing; rm -r $DIR/build

### BuildKit: the networks none and host
#= none lo
#= host yes
#~ seconds 120
mkdir -p $DIR/build
cat > $DIR/build/Dockerfile <<'BUILD'
FROM localhost/busybox:latest
RUN --network=none echo none $(ls /sys/class/net) > /none
CMD cat /none
BUILD
docker build -q -t localhost/built $DIR/build >/dev/null; run localhost/built
printf '%s\n' 'FROM localhost/busybox:latest' 'RUN ls /sys/class/net > /host' 'CMD cat /host' > $DIR/build/Dockerfile
docker build -q --network host -t localhost/built $DIR/build >/dev/null
run localhost/built | grep -q docker0 && echo host yes
docker rmi -f localhost/built >/dev/null; rm -r $DIR/build

### live-restore: containers outlive the daemon, and are controlled by the next
#= same process
#= after the daemon
#= 100663296
#= stopped 137
#~ seconds 120
restart() { pid=$(cat $DIR/docker.pid); kill $pid; until_gone $pid; jq "$1" $DIR/daemon.json > $DIR/daemon.new
    mv $DIR/daemon.new $DIR/daemon.json; engine_daemon; }
restart '."live-restore" = true'
docker run -d --name box --memory 64m --memory-swap 64m $IMAGE sleep 1000 >/dev/null
process=$(docker inspect -f '{{.State.Pid}}' box)
restart .
[ "$(docker inspect -f '{{.State.Pid}}' box)" = $process ] && echo same process
docker exec box echo after the daemon
docker update --memory 96m --memory-swap 96m box >/dev/null; docker exec box cat $MEMORY_LIMIT
docker pause box >/dev/null; docker unpause box >/dev/null
docker stop -t 0 box >/dev/null; docker inspect -f 'stopped {{.State.ExitCode}}' box; docker rm box
restart 'del(."live-restore")'

### compose v2: limits, dependencies by health, secrets, one command, and down
#= hello from two
#= the secret
#= 33554432
#= down 0
#~ seconds 120
mkdir -p $DIR/compose; cd $DIR/compose; echo the secret > secret
cat > compose.yml <<'YML'
services:
  one:
    image: localhost/busybox:latest
    command: sleep 100
    deploy: {resources: {limits: {memory: 32M, pids: 50}}}
    healthcheck: {test: ["CMD", "true"], interval: 1s}
    init: true
  two:
    image: localhost/busybox:latest
    command: sh -c 'ping -c 1 -W 5 one >/dev/null && echo hello from two; cat /run/secrets/mine'
    depends_on: {one: {condition: service_healthy}}
    secrets: [mine]
    read_only: true
    tmpfs: [/t]
secrets: {mine: {file: ./secret}}
YML
docker compose up -d >/dev/null 2>&1; until_true 20 sh -c 'docker compose logs two | grep -q secret'
docker compose logs --no-log-prefix two; docker compose exec -T one cat $MEMORY_LIMIT
docker compose run --rm -T one sh -c 'echo once; exit 4' 2>/dev/null; echo "status $?"
docker compose down -t 0 >/dev/null 2>&1; echo "down $?"; cd $DIR; rm -r $DIR/compose

### Docker in Docker
#= from the inner container
#~ loose
#~ seconds 180
# The image has only busybox: the engine's files are this machine's.
cat > $DIR/inner <<'INNER'
mkdir -p /var/lib/docker /run
dockerd --default-runtime orlop --add-runtime orlop=/usr/local/sbin/orlop --iptables=false --ip6tables=false \
    --bridge none -H unix:///run/docker.sock >/run/log 2>&1 &
for i in $(seq 100); do docker version >/dev/null 2>&1 && break; sleep 0.3; done
docker load -q -i /image.tar && docker run --rm --network none localhost/busybox:latest echo from the inner container
tail -3 /run/log
INNER
cp "$RUNTIME_PATH" $DIR/inner-runtime 2>/dev/null
says run --privileged --network none --tmpfs /var/lib --tmpfs /run --tmpfs /tmp -v /usr:/usr:ro -v /usr/bin:/bin:ro \
    -v /usr/sbin:/sbin:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro -v /etc:/etc:ro \
    -v $DIR/inner-runtime:/usr/local/sbin/orlop:ro -v $DIR/inner:/inner:ro -v $DIR/image.tar:/image.tar:ro \
    -e DOCKER_HOST=unix:///run/docker.sock $IMAGE bash /inner
rm -f $DIR/inner $DIR/inner-runtime

### the daemon's file of packaging/ is valid as it is shipped
#= configuration OK
says dockerd --validate --config-file $HERE/../packaging/docker/daemon.json

### systemd is the program: a whole Debian starts without a failed unit, and halts
#= running
#= failed: 0
#= service inside
#= exited
#~ seconds 180
tar -C $SYSTEM --one-file-system -c . | docker import - localhost/system >/dev/null
docker run -d --name box --cgroupns host --tmpfs /run --tmpfs /run/lock --tmpfs /tmp -v /sys/fs/cgroup:/sys/fs/cgroup \
    --network none -e container=docker --stop-signal SIGRTMIN+3 localhost/system /sbin/init >/dev/null
booted docker exec box
docker exec box systemd-run --quiet --wait --pipe echo service inside
docker stop -t 60 box >/dev/null; docker inspect -f '{{.State.Status}}' box
docker rm box >/dev/null; docker rmi localhost/system >/dev/null
