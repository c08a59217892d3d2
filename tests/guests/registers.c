/* Guest: threads that keep a pattern in every vector register of the processor, and check it
 * again and again; the same for the modes of both floating point units. Its first line gives
 * the width of the registers. */
#include <xmmintrin.h>

#define THREADS 4
#define HOLD 2000000L

typedef unsigned char registers[32][64];

#define LOW(form) form(0) form(1) form(2) form(3) form(4) form(5) form(6) form(7) \
	form(8) form(9) form(10) form(11) form(12) form(13) form(14) form(15)
#define HIGH(form) form(16) form(17) form(18) form(19) form(20) form(21) form(22) form(23) \
	form(24) form(25) form(26) form(27) form(28) form(29) form(30) form(31)
#define CLOBBERED "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
	"xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory", "cc"

#define HOLD_IN(load, store) \
	load "1: dec %[rounds]\n\tjnz 1b\n\t" store

#define LOAD_X(n) "movdqu " #n "*64(%[in]), %%xmm" #n "\n\t"
#define STORE_X(n) "movdqu %%xmm" #n ", " #n "*64(%[out])\n\t"
#define LOAD_Y(n) "vmovdqu " #n "*64(%[in]), %%ymm" #n "\n\t"
#define STORE_Y(n) "vmovdqu %%ymm" #n ", " #n "*64(%[out])\n\t"
#define LOAD_Z(n) "vmovdqu64 " #n "*64(%[in]), %%zmm" #n "\n\t"
#define STORE_Z(n) "vmovdqu64 %%zmm" #n ", " #n "*64(%[out])\n\t"

static void hold_x(registers in, registers out, long rounds)
{
	__asm__ volatile(HOLD_IN(LOW(LOAD_X), LOW(STORE_X))
		: [rounds] "+r"(rounds) : [in] "r"(in), [out] "r"(out) : CLOBBERED);
}

__attribute__((target("avx"))) static void hold_y(registers in, registers out, long rounds)
{
	__asm__ volatile(HOLD_IN(LOW(LOAD_Y), LOW(STORE_Y)) "vzeroupper\n\t"
		: [rounds] "+r"(rounds) : [in] "r"(in), [out] "r"(out) : CLOBBERED);
}

__attribute__((target("avx512f"))) static void hold_z(registers in, registers out, long rounds)
{
	unsigned mask = 0xa5c3, after;
	__asm__ volatile("kmovw %[mask], %%k3\n\t"
		HOLD_IN(LOW(LOAD_Z) HIGH(LOAD_Z), LOW(STORE_Z) HIGH(STORE_Z))
		"kmovw %%k3, %[after]\n\tvzeroupper\n\t"
		: [rounds] "+r"(rounds), [after] "=&r"(after)
		: [in] "r"(in), [out] "r"(out), [mask] "r"(mask)
		: CLOBBERED, "k3", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22",
		  "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
	if (after != mask)
		BROKEN("k3 is %x, not %x", after, mask);
}

static int bits;

static void *hold(void *argument)
{
	long number = (long)argument;
	int used = bits == 512 ? 32 : 16;
	registers in, out;
	/* Round towards zero in one unit, and single precision in the other. */
	unsigned modes = _mm_getcsr() | (number % 2 ? 0x6000 : 0x8000);
	unsigned short control = 0x007f | number << 10, found;
	_mm_setcsr(modes);
	__asm__ volatile("fldcw %0" : : "m"(control));
	for (unsigned round = 0;; round++) {
		for (int index = 0; index < 32; index++)
			for (int byte = 0; byte < 64; byte++)
				in[index][byte] = index * 67 + byte * 3 + number * 31 + round;
		memset(out, 0, sizeof out);
		(bits == 512 ? hold_z : bits == 256 ? hold_y : hold_x)(in, out, HOLD);
		for (int index = 0; index < used; index++)
			if (memcmp(in[index], out[index], bits / 8))
				BROKEN("vector register %d of thread %ld has changed", index, number);
		__asm__ volatile("fnstcw %0" : "=m"(found));
		if ((_mm_getcsr() & ~0x3fu) != (modes & ~0x3fu) || found != control)
			BROKEN("a floating point mode of thread %ld has changed", number);
		counts[number]++;
	}
	return NULL;
}

int main(void)
{
	bits = __builtin_cpu_supports("avx512f") ? 512 : __builtin_cpu_supports("avx") ? 256 : 128;
	for (long number = 0; number < THREADS; number++)
		start(hold, (void *)number);
	answer("registers of %d bits", bits);
	for (const char *line; (line = command());)
		if (is(line, "advance"))
			advance(THREADS);
		else
			answer("err %s", line);
	exit(0);
}
