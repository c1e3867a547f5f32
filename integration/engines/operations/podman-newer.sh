# What Podman's users do with a newer Podman than Debian bookworm's.  The format is that of docker.sh.

### quadlet: the command of a generated service runs
#= --cgroups=split
#= --sdnotify=conmon
#= from the unit
mkdir -p $DIR/units
cat > $DIR/units/one.container <<UNIT
[Container]
Image=$IMAGE
ContainerName=one
Exec=sleep 1000
ReadOnly=true
NoNewPrivileges=true
Memory=64m
UNIT
start=$(QUADLET_UNIT_DIRS=$DIR/units /usr/lib/systemd/system-generators/podman-system-generator --dryrun 2>/dev/null |
    sed -n 's/^ExecStart=//p' | sed 's/%%/%/g')
echo "$start" | sed 's,/usr/bin/,,'
# Without systemd there is no cgroup of a service to split.
eval "${start/--cgroups=split/} >/dev/null"; podman exec one echo from the unit
podman exec one grep NoNewPrivs /proc/self/status; podman exec one cat $MEMORY_LIMIT; says podman exec one touch /new
podman rm -f -t 0 one >/dev/null; rm -r $DIR/units

### --sdnotify in each mode: what the service manager is told
#= conmon READY=1
#= container READY=1
#= ignore -
#~ seconds 120
cat > $DIR/listen <<'PY'
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); s.settimeout(float(sys.argv[2]))
try:
    while True: print(s.recv(4096).decode(), flush=True)
except TimeoutError: pass
PY
system=(-v /usr:/usr:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro)
for mode in conmon container ignore healthy; do
    python3 $DIR/listen $DIR/notify 8 > $DIR/told & listener=$!
    until_true 5 test -S $DIR/notify
    NOTIFY_SOCKET=$DIR/notify podman run -d --name c --sdnotify=$mode --health-cmd true --health-interval disable \
        "${system[@]}" $IMAGE sh -c '[ -z "$NOTIFY_SOCKET" ] || /usr/bin/systemd-notify --ready; sleep 100' \
        >/dev/null 2>&1 & starting=$!
    [ $mode != healthy ] || { until_true 10 podman container exists c; until_true 10 podman healthcheck run c; }
    wait $listener; wait $starting; podman rm -f -t 0 c >/dev/null; rm -f $DIR/notify
    echo "$mode $(grep -q ^READY=1 $DIR/told && echo READY=1 || echo -)" \
        "$(grep -q ^MAINPID= $DIR/told && echo MAINPID || echo -)"
done; rm -f $DIR/listen $DIR/told

### --cgroups=no-conmon, disabled and split
#= no-conmon
#= disabled
for mode in no-conmon disabled split; do says run --cgroups=$mode $IMAGE echo $mode; done

### --userns=auto for a pod that shares its pid namespace
#= same user
#= same pid
#= both
podman pod create --name p --userns auto:size=2000 --share pid,ipc,uts --infra-image $IMAGE \
    --infra-command 'sleep 1000' >/dev/null
podman run -d --pod p --name a $IMAGE sleep 100 >/dev/null; podman run -d --pod p --name b $IMAGE sleep 200 >/dev/null
for kind in user pid; do
    [ "$(podman exec a readlink /proc/self/ns/$kind)" = "$(podman exec b readlink /proc/self/ns/$kind)" ] &&
        echo same $kind
done
podman exec a awk '{print $1, $3}' /proc/self/uid_map
[ "$(podman exec a ps -o args | grep -c -E '^sleep (100|200)$')" = 2 ] && echo both
podman exec -u alice b id -u; podman stop -t 0 a >/dev/null 2>&1; podman exec b echo still
podman pod rm -f -t 0 p >/dev/null; echo "status $?"

### play kube: two containers, a limit, a probe, an init container, a secret as a volume, and down
#= memory 33554432
#= prepared
#= kept from others
#= down 0
#~ seconds 120
cat > $DIR/kube.yml <<YML
apiVersion: v1
kind: Secret
metadata: {name: mine}
stringData: {word: kept from others}
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  hostNetwork: true
  restartPolicy: Never
  volumes: [{name: shared, emptyDir: {}}, {name: secret, secret: {secretName: mine}}]
  initContainers:
  - {name: prepare, image: $IMAGE, imagePullPolicy: Never, command: [sh, -c, "echo prepared > /shared/file"],
     volumeMounts: [{name: shared, mountPath: /shared}]}
  containers:
  - name: one
    image: $IMAGE
    imagePullPolicy: Never
    command: [sleep, "1000"]
    resources: {limits: {memory: 32Mi, cpu: 500m}}
    securityContext: {runAsUser: 1000, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false}
    volumeMounts: [{name: shared, mountPath: /shared}, {name: secret, mountPath: /secret}]
  - {name: two, image: $IMAGE, imagePullPolicy: Never, command: [sleep, "1000"]}
YML
podman kube play $DIR/kube.yml >/dev/null 2>&1; echo "play $?"
echo memory $(podman exec web-one cat $MEMORY_LIMIT); podman exec web-one cat /shared/file /secret/word; echo
podman exec web-one grep -E '^(Uid|NoNewPrivs|CapEff)' /proc/self/status; says podman exec web-one touch /new
podman kube down $DIR/kube.yml >/dev/null 2>&1; echo "down $?"; podman secret rm mine >/dev/null 2>&1; rm $DIR/kube.yml

### --preserve-fd names the descriptors
#= run through the fd
#= exec through the fd
#~ loose
# Podman leaves those below it closed in exec, for which runc ends.
echo through the fd > $DIR/file
echo run $(run --preserve-fd 7 $IMAGE cat /proc/self/fd/7 7< $DIR/file)
podman run -d --name c $IMAGE sleep 100 >/dev/null
echo exec $(podman exec --preserve-fd 9 c cat /proc/self/fd/9 9< $DIR/file)
rm $DIR/file

### build with cache, secret, bind and tmpfs mounts
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
RUN --mount=type=bind,source=file,target=/file cat /file > /bound
RUN --mount=type=tmpfs,target=/t grep -o 'tmpfs /t' /proc/mounts > /tmpfs
CMD cat /cached /secret /bound /tmpfs
BUILD
podman --runtime $RUNTIME_PATH build --isolation oci --network none --signature-policy $DIR/policy.json \
    --secret id=mine,src=$DIR/secret -t localhost/built $DIR/build >$DIR/built 2>&1 || tail -5 $DIR/built
run localhost/built; podman rmi -f localhost/built >/dev/null; rm -r $DIR/build $DIR/secret $DIR/built

### build: a failing step
#= exit status 5
mkdir -p $DIR/build; printf '%s\n' 'FROM localhost/busybox:latest' 'RUN exit 5' > $DIR/build/Dockerfile
podman --runtime $RUNTIME_PATH build --isolation oci --network none --signature-policy $DIR/policy.json \
    $DIR/build 2>&1 | grep -o 'exit status 5'; rm -r $DIR/build

### update changes limits in place
#= 100663296
#= 40
podman run -d --name c --memory 64m --memory-swap 64m $IMAGE sleep 100 >/dev/null
says podman update --memory 96m --memory-swap 96m --pids-limit 40 c | tail -1
podman exec c cat $MEMORY_LIMIT $PIDS_LIMIT

### a restart policy, and its count
#= restarts 2
podman run -d --name c --restart on-failure:2 $IMAGE sh -c 'echo once; exit 1' >/dev/null
until_true 30 sh -c '[ "$(podman logs c | wc -l)" = 3 ]'
until_true 10 sh -c '[ "$(podman inspect -f "{{.State.Status}}" c)" = exited ]'
podman inspect -f 'restarts {{.RestartCount}} {{.State.ExitCode}}' c

### the system's own files as a root filesystem, with an overlay
#= user 0
run --network none --rootfs /:O sh -c 'touch /new && echo user $(id -u)'; ls /new 2>&1

### the drop-in of packaging/ as it is shipped, behind the machine's own configuration
#= orlop
CONTAINERS_CONF_OVERRIDE=$HERE/../packaging/containers.conf.d/50-orlop.conf \
    podman --runtime orlop info -f '{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}' 2>&1 | cut -d' ' -f1

### systemd is the program: a whole Debian starts without a failed unit, and halts
#= running
#= failed: 0
#= service inside
#= exited
#~ seconds 180
podman run -d --name c --systemd=always --network none --rootfs $SYSTEM:O /sbin/init >/dev/null
booted podman exec c
podman exec c systemd-run --quiet --wait --pipe echo service inside
podman exec c systemd-run --quiet --wait -p MemoryMax=32M -p TasksMax=20 true; echo "limited $?"
podman stop -t 60 c >/dev/null; podman inspect -f '{{.State.Status}}' c
