/* Generates a filter with libseccomp, and loads programs, timed.
 *
 *   filter generate ROUNDS < RULES     lines `begin ACTION`, `arch NAME`, `rule ACTION NAME [INDEX:OP:A:B]...` as numbers;
 *                                      writes "ns ns ... instructions", and the program to filter.bpf
 *   filter load ROUNDS PROGRAM         writes "ns ns ...": seccomp(2) in a new process each time
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* A line's words are taken apart again in each round, which costs nothing beside what libseccomp does with them. */
static void obey(scmp_filter_ctx *filter, const char *line) {
    char text[512], *rest, *word;
    snprintf(text, sizeof text, "%s", line);
    const char *command = strtok_r(text, " \n", &rest), *first = strtok_r(NULL, " \n", &rest);
    if (!strcmp(command, "begin")) {
        *filter = seccomp_init(strtoul(first, NULL, 0));
    } else if (!strcmp(command, "arch")) {
        seccomp_arch_add(*filter, seccomp_arch_resolve_name(first));
    } else {
        struct scmp_arg_cmp args[6];
        unsigned count = 0;
        int number = seccomp_syscall_resolve_name(strtok_r(NULL, " \n", &rest));
        for (; number != __NR_SCMP_ERROR && count < 6 && (word = strtok_r(NULL, " \n", &rest)); count++) {
            args[count].arg = strtoul(word, &word, 0);
            args[count].op = strtoul(word + 1, &word, 0);
            args[count].datum_a = strtoull(word + 1, &word, 0);
            args[count].datum_b = strtoull(word + 1, &word, 0);
        }
        if (number != __NR_SCMP_ERROR)
            seccomp_rule_add_array(*filter, strtoul(first, NULL, 0), number, count, args);
    }
}

static int generate(int rounds) {
    static char lines[4096][256];
    int count = 0;
    struct stat seen;
    while (count < 4096 && fgets(lines[count], sizeof *lines, stdin))
        count++;
    for (int round = 0; round < rounds; round++) {
        scmp_filter_ctx filter = NULL;
        long long begun = now();
        for (int line = 0; line < count; line++)
            obey(&filter, lines[line]);
        int file = open("filter.bpf", O_RDWR | O_CREAT | O_TRUNC, 0600);
        if (seccomp_export_bpf(filter, file) < 0)
            return 1;
        printf("%lld ", now() - begun);
        fstat(file, &seen);
        close(file);
        seccomp_release(filter);
    }
    printf("%ld\n", (long)seen.st_size / (long)sizeof(struct sock_filter));
    return 0;
}

static int load(int rounds, const char *path) {
    static struct sock_filter code[65536];
    int file = open(path, O_RDONLY);
    ssize_t length = read(file, code, sizeof code);
    struct sock_fprog program = {.len = length / sizeof *code, .filter = code};
    for (int round = 0; round < rounds; round++) {
        fflush(stdout);
        if (fork() == 0) {
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            long long begun = now();
            long failed = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
            long long took = now() - begun;
            printf("%lld ", failed ? -1 : took);
            fflush(stdout);
            _exit(0);
        }
        wait(NULL);
    }
    printf("\n");
    return length > 0 ? 0 : 1;
}

int main(int count, char **words) {
    if (count == 3 && !strcmp(words[1], "generate"))
        return generate(atoi(words[2]));
    if (count == 4 && !strcmp(words[1], "load"))
        return load(atoi(words[2]), words[3]);
    fprintf(stderr, "filter: see the head of filter.c\n");
    return 2;
}
