/* The program in the container: it ends at once, or waits for ever if it has an argument. It has no libc, so that its own
 * start costs next to nothing. */
#if defined(__x86_64__)
enum { EXIT = 231, WAIT = 271 };
static long call(long number) {
    long result;
    __asm__ volatile("xor %%esi, %%esi; xor %%edx, %%edx; xor %%r10d, %%r10d; syscall"
                     : "=a"(result) : "a"(number), "D"(0) : "rcx", "r11", "rsi", "rdx", "r10", "memory");
    return result;
}
__asm__(".globl _start\n_start: mov (%rsp), %rdi\n and $-16, %rsp\n call begin\n");
#elif defined(__aarch64__)
enum { EXIT = 94, WAIT = 73 };
static long call(long number) {
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = 0, x1 __asm__("x1") = 0, x2 __asm__("x2") = 0,
        x3 __asm__("x3") = 0;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
__asm__(".globl _start\n_start: ldr x0, [sp]\n bl begin\n");
#else
#error "the system calls of this architecture are missing"
#endif

void begin(long count) {
    while (count > 1)
        call(WAIT); /* ppoll(NULL, 0, NULL, NULL) */
    call(EXIT);
}
