/* Runs commands one after the other and says what each has cost.
 *
 *   gauge COMMAND [ARGUMENT...] [, COMMAND...]...
 *
 * A command has its input and output at /dev/null. The word @wait stands for waiting until every process that the commands
 * have left has ended: they are this program's, as they would be an engine's shim's. For each step a line is written:
 *
 *   wall-ns cpu-ns peak-KiB minor-faults major-faults wait-status
 *
 * The processor time is that of all processes below this one, those included that still run. This program is small because
 * a process inherits the peak memory of the one that made it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef long long nanoseconds;

static void fail(const char *what) {
    dprintf(2, "gauge: %s: %s\n", what, strerror(errno));
    _exit(125);
}

static nanoseconds of(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time) < 0)
        return 0;
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* The processor time of everybody below: of the ended by their records, of the living by their clocks. */
static nanoseconds used(struct rusage *ended) {
    char path[64], text[4096];
    getrusage(RUSAGE_CHILDREN, ended);
    nanoseconds sum = (ended->ru_utime.tv_sec + ended->ru_stime.tv_sec) * 1000000000LL
        + (ended->ru_utime.tv_usec + ended->ru_stime.tv_usec) * 1000LL;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return sum;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    text[length < 0 ? 0 : length] = 0;
    char *at = text, *end;
    for (long pid; pid = strtol(at, &end, 10), end != at; at = end)
        sum += of((clockid_t)(~(unsigned)pid << 3 | 2)); /* CPUCLOCK_SCHED of a process, as clock_getcpuclockid(3) has it */
    return sum;
}

static int run(char **words, int null, struct rusage *cost) {
    pid_t pid = vfork();
    if (pid == 0) {
        dup2(null, 0);
        dup2(null, 1);
        execv(words[0], words);
        fail(words[0]);
    }
    int status;
    if (pid < 0 || wait4(pid, &status, 0, cost) < 0)
        fail("wait for the command");
    return status;
}

int main(int count, char **words) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        fail("begin");
    alarm(120);
    for (int from = 1, to; from < count; from = to + 1) {
        for (to = from; to < count && strcmp(words[to], ","); to++)
            ;
        words[to] = NULL;
        struct rusage before, after, cost = {0};
        int status = 0;
        nanoseconds cpu = used(&before), wall = of(CLOCK_MONOTONIC);
        if (!strcmp(words[from], "@wait"))
            while (wait4(-1, NULL, 0, NULL) > 0)
                ;
        else
            status = run(words + from, null, &cost);
        wall = of(CLOCK_MONOTONIC) - wall;
        cpu = used(&after) - cpu;
        cpu = cpu < 0 ? 0 : cpu; /* the records of the ended have whole microseconds */
        dprintf(1, "%lld %lld %ld %ld %ld %d\n", wall, cpu, cost.ru_maxrss, cost.ru_minflt, cost.ru_majflt, status);
        if (status)
            break;
    }
    /* What still runs is the next command's, or nobody's. */
    return 0;
}
