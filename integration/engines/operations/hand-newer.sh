# By hand, with a whole system in the container.  The format is that of docker.sh.

### systemd is the program: a whole Debian starts without a failed unit, and halts
#= running
#= failed: 0
#= service inside
#= stopped
#~ seconds 180
mkdir -p $DIR/system && mount -t tmpfs system $DIR/system && mkdir $DIR/system/{upper,work,root}
mount -t overlay -o lowerdir=$SYSTEM,upperdir=$DIR/system/upper,workdir=$DIR/system/work system $DIR/system/root
bundle system '
    def tmpfs(path; mode): {"destination": path, "type": "tmpfs", "source": "tmpfs",
        "options": ["nosuid", "nodev", "mode=\(mode)"]};
    .root = {"path": "'$DIR'/system/root"} | .process.args = ["/sbin/init"] | .process.env += ["container=oci"] |
    .mounts |= map(if .destination == "/sys/fs/cgroup" then .options -= ["ro"] else . end) |
    .mounts += [tmpfs("/run"; "755"), tmpfs("/run/lock"; "1777"), tmpfs("/tmp"; "1777")] |
    .process.noNewPrivileges = false | .process.capabilities |= (.ambient = [] | map_values(["CAP_CHOWN",
        "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
        "CAP_SETFCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_AUDIT_WRITE"]) | .ambient = [])'
rt run -d -b $DIR/bundles/system system >/dev/null 2>$DIR/system/log </dev/null || cat $DIR/system/log
booted rt exec system
rt exec system systemd-run --quiet --wait --pipe echo service inside
rt kill system 37; until_true 60 eval '[ "$(status_of system)" = stopped ]'; status_of system
rt delete --force system; umount $DIR/system/root $DIR/system; rmdir $DIR/system
