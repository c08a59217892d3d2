/* Guest: does random operations on files by the calls of its own kind of program, without libc:
 * `program BASE COUNT SEED`. The test compiles it as a static program for 64 bits and for 32 bits,
 * which has other numbers for the same calls. No preloaded library sees what it does. */

#if defined(__x86_64__)
enum {
	WRITE = 1, OPEN = 2, CLOSE = 3, TRUNCATE = 76, FTRUNCATE = 77, CHDIR = 80, RENAME = 82,
	MKDIR = 83, RMDIR = 84, CREAT = 85, LINK = 86, UNLINK = 87, SYMLINK = 88, CHMOD = 90,
	LCHOWN = 94, MKNOD = 133, UTIME = 132, EXIT = 231
};
static long call(long number, long a, long b, long c)
{
	long answer;
	__asm__ volatile("syscall"
			 : "=a"(answer)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return answer;
}
#else
enum {
	EXIT = 252, WRITE = 4, OPEN = 5, CLOSE = 6, CREAT = 8, LINK = 9, UNLINK = 10, CHDIR = 12,
	MKNOD = 14, CHMOD = 15, UTIME = 30, RENAME = 38, MKDIR = 39, RMDIR = 40, SYMLINK = 83,
	TRUNCATE = 92, FTRUNCATE = 93, LCHOWN = 198
};
static long call(long number, long a, long b, long c)
{
	long answer;
	__asm__ volatile("int $0x80"
			 : "=a"(answer)
			 : "a"(number), "b"(a), "c"(b), "d"(c)
			 : "memory");
	return answer;
}
#endif

#define NAMES 8
static const char *names[NAMES] = { "ash", "birch", "cedar", "fir", "hazel", "larch", "oak", "yew" };

/* Flags of open, and of files that mknod makes. */
enum { WRITE_ONLY = 1, CREATE = 0100, EXCLUSIVE = 0200, TRUNCATED = 01000, APPEND = 02000,
       NO_WAIT = 04000, A_FIFO = 010000, A_FILE = 0100000 };

static unsigned random_state;

/* A linear congruential generator: the low bits are poor, so it gives the high ones. */
static unsigned below(unsigned limit)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % limit;
}

static unsigned number(const char *text)
{
	unsigned value = 0;
	for (; *text; text++)
		value = value * 10 + (unsigned)(*text - '0');
	return value;
}

static char *add(char *end, const char *text)
{
	while (*text)
		*end++ = *text++;
	*end = 0;
	return end;
}

/* A path of one to three names. */
static const char *path(char *room)
{
	char *end = add(room, names[below(NAMES)]);
	for (unsigned more = below(3); more; more--)
		end = add(add(end, "/"), names[below(NAMES)]);
	return room;
}

static char content[8192];

static void put(const char *at, int flags)
{
	long file = call(OPEN, (long)at, WRITE_ONLY | NO_WAIT | flags, 0644);
	if (file < 0)
		return;
	for (unsigned i = 0; i < 64; i++)
		content[below(sizeof content)] = (char)below(256);
	call(WRITE, file, (long)content, below(sizeof content));
	if (!below(4))
		call(FTRUNCATE, file, below(9000), 0);
	call(CLOSE, file, 0, 0);
}

static void operation(void)
{
	char first[64], second[64];
	const long a = (long)path(first), b = (long)path(second);
	const long times[2] = { 1000, below(1000000) };
	switch (below(16)) {
	case 0:
		put(first, CREATE | EXCLUSIVE);
		break;
	case 1:
		put(first, CREATE | TRUNCATED);
		break;
	case 2:
		put(first, CREATE | APPEND);
		break;
	case 3:
	case 4:
		put(first, 0);
		break;
	case 5:
		call(UNLINK, a, 0, 0);
		break;
	case 6:
		call(RENAME, a, b, 0);
		break;
	case 7:
		call(LINK, a, b, 0);
		break;
	case 8:
		call(SYMLINK, b, a, 0);
		break;
	case 9:
		call(MKDIR, a, 0755, 0);
		break;
	case 10:
		call(RMDIR, a, 0, 0);
		break;
	case 11:
		call(CHMOD, a, below(2) ? 0644 : 0755, 0);
		break;
	case 12:
		call(TRUNCATE, a, below(9000), 0);
		break;
	case 13:
		call(MKNOD, a, below(2) ? A_FIFO | 0644 : A_FILE | 0600, 0);
		break;
	case 14:
		call(LCHOWN, a, 23456, 0);
		break;
	default:
		call(UTIME, a, (long)times, 0);
	}
}

__attribute__((used)) static void run(long *stack)
{
	char **arguments = (char **)(stack + 1);
	if (stack[0] != 4)
		call(EXIT, 2, 0, 0);
	/* Somebody may have moved or closed it. */
	if (call(CHDIR, (long)arguments[1], 0, 0))
		call(EXIT, 0, 0, 0);
	random_state = number(arguments[3]);
	for (unsigned count = number(arguments[2]); count; count--)
		operation();
	call(EXIT, 0, 0, 0);
}

/* The kernel leaves the count and the arguments on the stack. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call run\n hlt");
#else
__asm__(".globl _start\n_start: mov %esp, %eax\n and $-16, %esp\n sub $12, %esp\n push %eax\n call run\n hlt");
#endif
