/* Text to the debugger's console (or QEMU's), and the end of the program. A product has a UART instead. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

/* Shows text. */
void put_text(const char *text);
/* Shows a number. */
void put_int(int number);
/* Ends the program; 0 is success. */
_Noreturn void end(int code);

#endif
