/* Builds filters with libseccomp for the tests that compare ours with them.
 *
 * Reads lines from standard input:
 *   begin ACTION            a filter with this default action (a number, as seccomp(2) takes it)
 *   arch NAME               another architecture, in libseccomp's lower-case spelling
 *   rule ACTION NAME [INDEX:OP:A:B ...]   with OP as in enum scmp_compare, all numbers in C's notation
 *   end                     writes the program: its length in bytes (uint32), then its instructions
 *   number ARCH NAME        writes the number that libseccomp knows the call by there (int32)
 * What libseccomp refuses is reported on standard error; the program is then written as of length 0.
 */
#define _GNU_SOURCE
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int failed;

static void refuse(const char *line, int rc) {
    fprintf(stderr, "%s: %s\n", line, strerror(-rc));
    failed = 1;
}

static void rule(scmp_filter_ctx filter, char *line, char *words) {
    uint32_t action = strtoul(strtok_r(NULL, " ", &words), NULL, 0);
    int number = seccomp_syscall_resolve_name(strtok_r(NULL, " ", &words));
    struct scmp_arg_cmp args[6];
    unsigned count = 0;
    if (number == __NR_SCMP_ERROR)
        return;
    for (char *word; count < 6 && (word = strtok_r(NULL, " ", &words)); count++) {
        struct scmp_arg_cmp *arg = &args[count];
        arg->arg = strtoul(word, &word, 0);
        arg->op = strtoul(word + 1, &word, 0);
        arg->datum_a = strtoull(word + 1, &word, 0);
        arg->datum_b = strtoull(word + 1, &word, 0);
    }
    int rc = seccomp_rule_add_array(filter, action, number, count, args);
    if (rc)
        refuse(line, rc);
}

static void export(scmp_filter_ctx filter) {
    int memory = memfd_create("program", 0);
    int rc = seccomp_export_bpf(filter, memory);
    uint32_t length = rc || failed ? 0 : lseek(memory, 0, SEEK_END);
    void *program = length ? mmap(NULL, length, PROT_READ, MAP_PRIVATE, memory, 0) : NULL;
    fwrite(&length, sizeof length, 1, stdout);
    fwrite(program, 1, length, stdout);
    fflush(stdout);
    if (program)
        munmap(program, length);
    close(memory);
    seccomp_release(filter);
}

int main(void) {
    scmp_filter_ctx filter = NULL;
    char *text = NULL;
    size_t size = 0;
    while (getline(&text, &size, stdin) > 0) {
        text[strcspn(text, "\n")] = 0;
        char *line = strdup(text), *words, *command = strtok_r(text, " ", &words);
        if (!strcmp(command, "begin")) {
            failed = 0;
            filter = seccomp_init(strtoul(strtok_r(NULL, " ", &words), NULL, 0));
        } else if (!strcmp(command, "arch")) {
            int rc = seccomp_arch_add(filter, seccomp_arch_resolve_name(strtok_r(NULL, " ", &words)));
            if (rc && rc != -17)
                refuse(line, rc);
        } else if (!strcmp(command, "rule")) {
            rule(filter, line, words);
        } else if (!strcmp(command, "end")) {
            export(filter);
        } else if (!strcmp(command, "number")) {
            uint32_t arch = seccomp_arch_resolve_name(strtok_r(NULL, " ", &words));
            int32_t number = arch ? seccomp_syscall_resolve_name_arch(arch, strtok_r(NULL, " ", &words)) : -1;
            fwrite(&number, sizeof number, 1, stdout);
            fflush(stdout);
        }
        free(line);
    }
    return 0;
}
