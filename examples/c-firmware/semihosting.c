/* Arm semihosting: a breakpoint with a number in r0 and an argument in r1. */
#include "semihosting.h"

#define SYS_WRITE0 0x04
#define SYS_EXIT 0x18
#define STOPPED_APPLICATION_EXIT 0x20026
#define STOPPED_RUNTIME_ERROR 0x20023

static void call(int number, const void *argument) {
    register int r0 __asm__("r0") = number;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void put_text(const char *text) {
    call(SYS_WRITE0, text);
}

void put_int(int number) {
    char digits[12];
    char *at = digits + sizeof digits - 1;
    unsigned rest = number < 0 ? 0u - (unsigned)number : (unsigned)number;
    *at = 0;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0) *--at = '-';
    put_text(at);
}

_Noreturn void end(int code) {
    call(SYS_EXIT, (const void *)(code ? STOPPED_RUNTIME_ERROR : STOPPED_APPLICATION_EXIT));
    for (;;) {
    }
}
