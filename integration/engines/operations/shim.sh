# The reaping init beside tini and catatonit.  The format is that of docker.sh.

### exit statuses are those of tini and catatonit
#= compared
for command in 'exit 0' 'exit 7' 'exit 255' 'kill -TERM $$' 'kill -KILL $$' 'kill -SEGV $$' 'kill -HUP $$' \
    'sleep 100 & exit 3' 'exec nosuch' 'exec /data/text'; do
    for init in orlop tini catatonit; do under $init "$command" >/dev/null 2>&1 </dev/null; eval "$init=$?"; done
    [ "$orlop" = "$tini" ] && [ "$orlop" = "$catatonit" ] || echo "$command: $orlop, tini $tini, catatonit $catatonit"
done; echo compared; nothing_left

### 10,000 orphans are reaped
#= no zombies
#= status 5
#~ seconds 600
box box 'i=0; while [ $i -lt 200 ]; do (n=0; while [ $n -lt 50 ]; do true & n=$((n + 1)); done); i=$((i + 1)); done
    n=0; while grep -ls "^State:.Z" /proc/[0-9]*/status | grep -q . && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
    grep -ls "^State:.Z" /proc/[0-9]*/status || echo no zombies; cut -d" " -f2 /proc/loadavg > /dev/null; exit 5'
says timeout 500 "$RUNTIME_PATH" --root $DIR/state run --init -b $DIR/bundles/box box; nothing_left

### orphans of exec are reaped
#= no zombies
bundle box '.process.args = ["sleep", "1000"]'; rt_create box --init; rt start box
rt exec box sh -c '(true & true & sleep 0.3 &) ; (sleep 0.2 &)'
until_true 20 eval '[ "$(rt exec box sh -c "ps -o comm | grep -c sleep")" = 1 ]'
rt exec box sh -c 'grep -ls "^State:.Z" /proc/[0-9]*/status || echo no zombies'; rt delete --force box; nothing_left

### every signal that can be forwarded is
#= 1 2 3 10 12 13 14 15 18 23 24 25 26 27 28 29 30 34 40 64
box box 'for n in 1 2 3 10 12 13 14 15 18 23 24 25 26 27 28 29 30; do trap "echo $n >> /tmp/got" $n; done
    echo ready; while :; do sleep 0.05; done' '.root.readonly = false | .mounts += [{destination: "/tmp", type: "bind",
        source: "'$DIR/bundles'", options: ["bind"]}]'
rt_create box --init; rt start box; until_true 20 grep -q ready $DIR/bundles/box/out
for n in 1 2 3 10 12 13 14 15 18 23 24 25 26 27 28 29 30; do rt kill box $n
    until_true 20 grep -qx $n $DIR/bundles/got; done
got=$(sort -n $DIR/bundles/got | tr '\n' ' '); rt delete --force box; rm $DIR/bundles/got
for n in 34 40 64; do bundle box '.process.args = ["sleep", "1000"]'; rt_create box --init; rt start box
    rt kill box $n; until_stopped box; rt delete box && got="$got$n "; done
echo $got; nothing_left

### the program is in the foreground of its terminal
#= foreground
#= got INT
box box 'read _ _ _ _ group session _ front _ < /proc/self/stat;
    [ "$group" = "$front" ] && [ "$group" != "$session" ] && echo foreground; trap "echo got INT; exit 4" INT;
    echo ready; while :; do sleep 0.1; done' '.process.terminal = true'
$HERE/tools/terminal run 'wait ready|type \x03|wait INT' $RUNTIME_PATH --root $DIR/state run \
    --init -b $DIR/bundles/box box; nothing_left

### the rest has the grace time to end
#= ended in peace
#= soon
#= status 6
box box '(trap "echo ended in peace; exit" TERM; echo ready; while :; do sleep 0.1; done) & sleep 1; exit 6' \
    '.annotations = {"orlop.init": "true", "orlop.init.grace": "20s"}'
says rt_run box
box many 'for i in $(seq 100); do sleep 1000 & done; exit 6' \
    '.annotations = {"orlop.init": "true", "orlop.init.grace": "10m"}'
says rt_run many; echo soon; nothing_left

### processes of exec have the grace time, too
#= ended in peace
box box 'sleep 3; exit 6' '.annotations = {"orlop.init": "true", "orlop.init.grace": "20s"}'; rt_create box
rt start box
rt exec -d box sh -c 'trap "echo ended in peace > /proc/1/fd/1; exit" TERM; while :; do sleep 0.1; done' 2>/dev/null
rt exec box sh -c 'trap "echo ended in peace; exit" TERM; while :; do sleep 0.1; done'; until_stopped box
rt delete box; nothing_left

### without CAP_KILL it cannot signal a program that has changed its user, with it it can
#= with 143
change='.process.capabilities |= map_values(["CAP_SETUID", "CAP_SETGID", "CAP_KILL"]) |
    .process.noNewPrivileges = false'
box box 'exec su -s /bin/sh alice -c "echo ready; exec sleep 1000"' "$change"; rt_create box --init; rt start box
until_true 20 grep -q ready $DIR/bundles/box/out; rt kill box TERM; until_stopped box && echo with 143
rt delete --force box; nothing_left

### it works under the default kind of filter, without capabilities and as another user
#= got TERM
#= Seccomp:2
#= CapPrm:0000000000000000
box box 'trap "echo got TERM; exit" TERM; grep -hE "^(Seccomp|CapPrm|CapEff|NoNewPrivs):" /proc/1/status | tr -d "\t";
    echo ready; while :; do sleep 0.1; done' \
    '.process.user = {uid: 1000, gid: 1000} | .process.capabilities = {} |
        .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["ptrace", "mount", "bpf"],
        action: "SCMP_ACT_ERRNO"}]}'
rt_create box --init; rt start box; until_true 20 grep -q ready $DIR/bundles/box/out; rt kill box TERM
until_stopped box; output box; rt delete box; nothing_left

### it holds no descriptor but that of its record, and at most 100 KiB
#= no other descriptor
#= at most 100 KiB
for init in tini catatonit orlop; do
    args='["sleep", "1000"]'; flag=--init
    [ $init = orlop ] || { args="[\"/$init\", \"--\", \"sleep\", \"1000\"]"; flag=; }
    bundle $init ".process.args = $args"; rt_create $init $flag; rt start $init
    until_true 20 test -n "$(pgrep -P "$(pid_of $init)")"
    size=$(pss "$(pid_of $init)"); echo "$init: Pss $size KiB" >&3; echo "$init: Pss $size KiB"
done
[ -z "$(readlink /proc/$(pid_of orlop)/fd/* | grep -v '/ended$')" ] && echo no other descriptor
[ "$size" -le 100 ] && echo at most 100 KiB
for init in tini catatonit orlop; do rt delete --force $init; done; nothing_left

### without a pid namespace of its own it reaps as a subreaper
#= no zombies
#= status 7
box box '(true & true &); (sleep 0.1 &); sleep 1; ps -o stat,ppid | grep "^Z.* $PPID$" || echo no zombies; exit 7' \
    '.linux.namespaces |= map(select(.type != "pid"))'
says rt run --init -b $DIR/bundles/box box; nothing_left
