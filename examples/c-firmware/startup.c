/* From reset to `main`: the floating-point unit (input values are floats), variables, and the vector table. */
#include <stdint.h>

#include "semihosting.h"

int main(void);

/* Addresses from the linker script. */
extern uint32_t stack_top, data_source, data_start, data_end, bss_start, bss_end;

void reset(void) {
    volatile uint32_t *const cpacr = (volatile uint32_t *)0xE000ED88;
    *cpacr |= 0xFu << 20;
    __asm__ volatile("dsb\nisb" ::: "memory");

    const uint32_t *from = &data_source;
    for (uint32_t *to = &data_start; to < &data_end; to++, from++) *to = *from;
    for (uint32_t *to = &bss_start; to < &bss_end; to++) *to = 0;
    end(main());
}

/* Every fault ends the program, so that a test sees it. */
static void fault(void) {
    put_text("fault\n");
    end(1);
}

/* The first 16 entries; this firmware uses no interrupt. */
__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))&stack_top,
    reset,
    fault, /* NMI */
    fault, /* hard fault */
    fault, /* memory */
    fault, /* bus */
    fault, /* usage */
};
