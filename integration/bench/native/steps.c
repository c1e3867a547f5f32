/* Which functions of a program a command executes, where valgrind cannot follow: in processes that it makes in namespaces.

     steps PROGRAM ARGUMENTS...    addresses of instructions, one in a line, relative to the program's beginning

   Every process is walked through one instruction at a time, as long as it executes PROGRAM itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPAN (4u << 20)    /* How long the program's image is at most. */
#define PROCESSES 4194304u /* How large a pid is at most, with one. */

static unsigned char *executed, *known;
static uint64_t *bases; /* Of each process; 0 when it executes something else. */
static struct stat program;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* The beginning of the program's image in a process; 0 if that executes another program. */
static uint64_t base_of(pid_t pid)
{
	char path[64], line[512];
	struct stat now;
	unsigned long base = 0;
	snprintf(path, sizeof path, "/proc/%d/exe", pid);
	if (stat(path, &now) || now.st_ino != program.st_ino || now.st_dev != program.st_dev)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "r");
	if (!maps)
		return 0;
	/* The first line with the program's inode. */
	while (fgets(line, sizeof line, maps)) {
		unsigned long from, inode;
		if (sscanf(line, "%lx-%*x %*s %*x %*s %lu", &from, &inode) == 2 && inode == program.st_ino) {
			base = from;
			break;
		}
	}
	fclose(maps);
	return base;
}

int main(int count, char **words)
{
	if (count < 2 || stat(words[1], &program))
		fail("usage: steps PROGRAM ARGUMENTS...");
	executed = calloc(SPAN, 1);
	known = calloc(PROCESSES, 1);
	bases = calloc(PROCESSES, sizeof *bases);
	if (!executed || !known || !bases)
		fail("calloc");
	pid_t first = fork();
	if (first < 0)
		fail("fork");
	if (!first) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execv(words[1], words + 1);
		_exit(127);
	}
	int status, result = 1, seen = 0;
	pid_t pid;
	while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (pid < 0)
			continue;
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			known[pid] = 0;
			if (pid == first)
				result = !WIFEXITED(status) || WEXITSTATUS(status);
			continue;
		}
		int signal = WSTOPSIG(status), event = status >> 16;
		if (!known[pid]) {
			known[pid] = 1;
			ptrace(PTRACE_SETOPTIONS, pid, 0,
			       PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC);
			bases[pid] = base_of(pid);
			signal = 0; /* The stop of its birth. */
		} else if (event) {
			if (event == PTRACE_EVENT_EXEC)
				bases[pid] = base_of(pid);
			signal = 0;
		} else if (signal == SIGTRAP) {
			errno = 0;
			uint64_t at = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), 0);
			if (bases[pid] && at - bases[pid] < SPAN) {
				executed[at - bases[pid]] = 1;
				seen = 1;
			}
			signal = 0;
		}
		/* Another program goes on by itself. */
		if (!bases[pid] && pid != first) {
			ptrace(PTRACE_DETACH, pid, 0, signal);
			known[pid] = 0;
		} else
			ptrace(PTRACE_SINGLESTEP, pid, 0, signal);
	}
	for (uint64_t at = 0; at < SPAN; at++)
		if (executed[at])
			printf("%lx\n", at);
	if (!seen)
		fprintf(stderr, "steps: no process executed %s\n", words[1]);
	return result || !seen;
}
