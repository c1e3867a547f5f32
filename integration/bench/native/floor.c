/* The floor: only the kernel calls that a container cannot be made without, in one small program.
 *
 *   floor run [OPTION...] ROOTFS PROGRAM [ARGUMENT...]
 *       -h DIR     join a new cgroup in the v1 hierarchy mounted at DIR (repeated)
 *       -u DIR     make a cgroup in the v2 tree mounted at DIR, and be born there
 *       -n NAME    of the cgroups, below the root
 *       -w F=V     write V to the file F of the cgroup before it is joined; F with its hierarchy's directory (repeated)
 *       -b DIR     bind DIR below /mnt (repeated)
 *       -t         say on standard output how long each step took, in nanoseconds
 *       -p         plain: no namespaces, no mounts; fork, join the cgroups late, execute
 *   floor list -n NAME STATES FREEZERS
 *       for each container ID below STATES: read its state.json, see whether its process lives, read the state of the
 *       freezer NAME-ID below FREEZERS
 *
 * What is mounted, masked and made read-only is what `runc spec` writes. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* mount(2)'s, whose header cannot be had together with that of the new calls. */
int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);
enum { RDONLY = 1, NOSUID = 2, NODEV = 4, NOEXEC = 8, REMOUNT = 32, BIND = 4096, REC = 16384, SLAVE = 1 << 19, DETACH = 2 };

#define MANY 128
static const char *hierarchies[MANY], *writes[MANY], *binds[MANY], *name = "orlop-floor", *unified;
static int hierarchies_n, writes_n, binds_n, plain;

static void fail(const char *what) {
    dprintf(2, "floor: %s: %s\n", what, strerror(errno));
    _exit(125);
}

#define must(call) ((call) < 0 ? fail(#call) : (void)0)

/* The ends of the steps, in memory that both processes write. */
static struct { long long end; const char *step; } *marks;

static void mark(const char *step) {
    struct timespec time;
    if (!marks)
        return;
    clock_gettime(CLOCK_MONOTONIC, &time);
    int n = 0;
    while (marks[n].step)
        n++;
    marks[n].end = time.tv_sec * 1000000000LL + time.tv_nsec;
    marks[n].step = step;
}

static void say_marks(void) {
    for (int n = 1; marks && marks[n].step; n++)
        printf("%lld %s\n", marks[n].end - marks[n - 1].end, marks[n].step);
}

static int copy(const char *from, const char *to) {
    char text[4096];
    int file = open(from, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t length = read(file, text, sizeof text);
    close(file);
    file = open(to, O_WRONLY | O_CLOEXEC);
    if (length < 0 || file < 0)
        return -1;
    length = write(file, text, length);
    close(file);
    return length < 0 ? -1 : 0;
}

static int put(const char *path, const char *value) {
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t length = write(file, value, strlen(value));
    close(file);
    return length < 0 ? -1 : 0;
}

/* A path in a cgroup of ours. */
static const char *in(char *path, const char *hierarchy, const char *file) {
    snprintf(path, 512, "%s/%s/%s", hierarchy, name, file);
    return path;
}

static void make_cgroups(void) {
    char from[512], to[512];
    for (int i = 0; i < hierarchies_n; i++) {
        must(mkdir(in(to, hierarchies[i], ""), 0755));
        if (strstr(hierarchies[i], "cpuset"))
            for (int file = 0; file < 2; file++) {
                const char *word = file ? "cpuset.mems" : "cpuset.cpus";
                snprintf(from, sizeof from, "%s/%s", hierarchies[i], word);
                must(copy(from, in(to, hierarchies[i], word)));
            }
    }
    if (unified)
        must(mkdir(in(to, unified, ""), 0755));
    for (int i = 0; i < writes_n; i++) {
        char path[512], *value;
        snprintf(path, 256, "%s", writes[i]);
        value = strchr(path, '=');
        *value++ = 0;
        char *file = strrchr(path, '/');
        *file++ = 0;
        must(put(in(to, path, file), value));
    }
}

/* By its first and only thread: writing to `tasks` waits for nobody, as cgroup.procs does. */
static void join_cgroups(void) {
    char path[512];
    for (int i = 0; i < hierarchies_n; i++)
        must(put(in(path, hierarchies[i], "tasks"), "0"));
    if (unified && plain)
        must(put(in(path, unified, "cgroup.procs"), "0"));
}

static void remove_cgroups(void) {
    char path[512];
    for (int i = 0; i < hierarchies_n; i++)
        must(rmdir(in(path, hierarchies[i], "")));
    if (unified)
        must(rmdir(in(path, unified, "")));
}

/* A new filesystem below the working directory; `options` are pairs, with NULL at the end. */
static void make(const char *type, const char *source, const char *target, unsigned attributes, const char **options) {
    int context = syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
    must(context);
    must(syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "source", source, 0));
    for (; options && *options; options += 2)
        if (options[1])
            must(syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, options[0], options[1], 0));
        else
            must(syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, options[0], NULL, 0));
    must(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    int made = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
    must(made);
    must(syscall(SYS_move_mount, made, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH));
    close(made);
    close(context);
}

static int attach(const char *from, const char *to, unsigned attributes) {
    int tree = syscall(SYS_open_tree, AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0)
        return -1;
    if (attributes) {
        struct mount_attr set = {.attr_set = attributes};
        must(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &set, sizeof set));
    }
    must(syscall(SYS_move_mount, tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH));
    return close(tree);
}

static void make_devices(void) {
    static const struct { const char *path; int major, minor; } devices[] = {
        {"dev/null", 1, 3}, {"dev/zero", 1, 5}, {"dev/full", 1, 7}, {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0},
    };
    static const char *links[][2] = {
        {"/proc/self/fd", "dev/fd"}, {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"},
        {"/proc/self/fd/2", "dev/stderr"}, {"pts/ptmx", "dev/ptmx"},
    };
    umask(0);
    for (unsigned i = 0; i < sizeof devices / sizeof *devices; i++)
        must(mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)));
    umask(022);
    for (unsigned i = 0; i < sizeof links / sizeof *links; i++)
        must(symlink(links[i][0], links[i][1]));
}

static void mount_cgroups(void) {
    enum { ATTRIBUTES = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };
    if (unified) {
        make("cgroup2", "cgroup", "sys/fs/cgroup", ATTRIBUTES | MOUNT_ATTR_RDONLY, NULL);
        return;
    }
    if (!hierarchies_n)
        return;
    make("tmpfs", "tmpfs", "sys/fs/cgroup", ATTRIBUTES, (const char *[]){"mode", "755", NULL});
    for (int i = 0; i < hierarchies_n; i++) {
        char from[512], to[512];
        snprintf(to, sizeof to, "sys/fs/cgroup/%s", strrchr(hierarchies[i], '/') + 1);
        must(mkdir(to, 0755));
        must(attach(in(from, hierarchies[i], ""), to, ATTRIBUTES | MOUNT_ATTR_RDONLY));
    }
}

static void build(const char *rootfs) {
    enum { SAFE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };
    must(mount(NULL, "/", NULL, REC | SLAVE, NULL));
    must(attach(rootfs, rootfs, 0));
    must(chdir(rootfs));
    make("proc", "proc", "proc", 0, NULL);
    make("tmpfs", "tmpfs", "dev", MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME,
         (const char *[]){"mode", "755", "size", "65536k", NULL});
    must(mkdir("dev/pts", 0755));
    must(mkdir("dev/shm", 0755));
    must(mkdir("dev/mqueue", 0755));
    make("devpts", "devpts", "dev/pts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
         (const char *[]){"newinstance", NULL, "ptmxmode", "0666", "mode", "0620", "gid", "5", NULL});
    make("tmpfs", "shm", "dev/shm", SAFE, (const char *[]){"mode", "1777", "size", "65536k", NULL});
    make("mqueue", "mqueue", "dev/mqueue", SAFE, NULL);
    make("sysfs", "sysfs", "sys", SAFE | MOUNT_ATTR_RDONLY, NULL);
    mount_cgroups();
    for (int i = 0; i < binds_n; i++) {
        char to[64];
        snprintf(to, sizeof to, "mnt/%d", i);
        must(attach(binds[i], to, 0));
    }
    make_devices();
    must(syscall(SYS_pivot_root, ".", "."));
    must(umount2(".", DETACH));
    must(chdir("/"));
}

static void protect(void) {
    static const char *readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
    static const char *masked[] = {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                                   "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"};
    for (unsigned i = 0; i < sizeof readonly / sizeof *readonly; i++)
        if (attach(readonly[i], readonly[i], MOUNT_ATTR_RDONLY) < 0 && errno != ENOENT)
            fail(readonly[i]);
    for (unsigned i = 0; i < sizeof masked / sizeof *masked; i++) {
        struct stat seen;
        if (lstat(masked[i], &seen) < 0)
            continue;
        if (S_ISDIR(seen.st_mode))
            make("tmpfs", "tmpfs", masked[i], MOUNT_ATTR_RDONLY, (const char *[]){"nr_blocks", "1", "nr_inodes", "1", NULL});
        else
            must(attach("/dev/null", masked[i], 0));
    }
    struct mount_attr set = {.attr_set = MOUNT_ATTR_RDONLY};
    must(syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &set, sizeof set));
}

static void confine(void) {
    const unsigned kept = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
    must(setsid());
    must(sethostname("floor", 5));
    struct rlimit files = {1024, 1024};
    must(setrlimit(RLIMIT_NOFILE, &files));
    for (int i = 0; i <= CAP_LAST_CAP; i++)
        if (i > 31 || !(kept >> i & 1))
            must(prctl(PR_CAPBSET_DROP, i, 0, 0, 0));
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{kept, kept, kept}, {0, 0, 0}};
    must(syscall(SYS_capset, &head, sets));
    for (int i = 0; i < 32; i++)
        if (kept >> i & 1)
            must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0));
}

static int run(char **words) {
    char path[512];
    struct clone_args clone = {.exit_signal = SIGCHLD};
    mark("begin");
    make_cgroups();
    mark("make cgroups");
    if (!plain)
        clone.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET;
    if (unified && !plain) {
        int cgroup = open(in(path, unified, ""), O_DIRECTORY | O_CLOEXEC);
        must(cgroup);
        clone.flags |= CLONE_INTO_CGROUP | CLONE_NEWCGROUP;
        clone.cgroup = cgroup;
    }
    long child = syscall(SYS_clone3, &clone, sizeof clone);
    must(child);
    if (child == 0) {
        mark("clone, until the child runs");
        if (!plain) {
            join_cgroups();
            mark("join cgroups");
            build(words[0]);
            mark("mount and change the root");
            protect();
            mark("mask and protect paths");
            confine();
            mark("confine");
        } else
            join_cgroups();
        execv(words[1], words + 1);
        fail(words[1]);
    }
    int status;
    must(wait4(child, &status, 0, NULL));
    mark("execute the program, until it has ended");
    remove_cgroups();
    mark("remove cgroups");
    say_marks();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Reads a file whole; its length, or -1. */
static ssize_t whole(int dir, const char *path, char *text, size_t size) {
    int file = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t length = read(file, text, size - 1);
    close(file);
    text[length < 0 ? 0 : length] = 0;
    return length;
}

static int list(const char *states, const char *freezers) {
    static char text[65536];
    DIR *dir = opendir(states);
    int freezer = open(freezers, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!dir || freezer < 0)
        fail(dir ? freezers : states);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[512], stat[1024];
        snprintf(path, sizeof path, "%s/state.json", entry->d_name);
        if (entry->d_name[0] == '.' || whole(dirfd(dir), path, text, sizeof text) < 0)
            continue;
        char *pid = strstr(text, "\"pid\":");
        snprintf(path, sizeof path, "/proc/%d/stat", pid ? atoi(pid + 6) : 0);
        int lives = whole(AT_FDCWD, path, stat, sizeof stat) > 0;
        snprintf(path, sizeof path, "%s-%s/%s", name, entry->d_name, unified ? "cgroup.freeze" : "freezer.state");
        whole(freezer, path, stat, sizeof stat);
        printf("%s\t%s\t%s", entry->d_name, lives ? "running" : "stopped", stat);
    }
    return 0;
}

int main(int count, char **words) {
    const char *command = count > 1 ? words[1] : "";
    for (int option; (option = getopt(count - 1, words + 1, "+h:u:n:w:b:pt")) != -1;)
        switch (option) {
        case 'h': hierarchies[hierarchies_n++ % MANY] = optarg; break;
        case 'u': unified = optarg; break;
        case 'n': name = optarg; break;
        case 'w': writes[writes_n++ % MANY] = optarg; break;
        case 'b': binds[binds_n++ % MANY] = optarg; break;
        case 'p': plain = 1; break;
        case 't':
            marks = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
            break;
        default: return 125;
        }
    char **rest = words + 1 + optind;
    if (!strcmp(command, "run") && optind + 3 <= count)
        return run(rest);
    if (!strcmp(command, "list") && optind + 3 <= count)
        return list(rest[0], rest[1]);
    dprintf(2, "floor: run or list, see the head of floor.c\n");
    return 125;
}
