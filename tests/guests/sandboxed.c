/* Guest: forbids itself system calls, and goes on with the others; enters namespaces of its
 * own. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static long raw(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
}

/* Answers one call so, and all others as ever. */
static int set_filter(const char *how, unsigned call, unsigned action)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, steps };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (is(how, "prctl"))
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
	if (is(how, "seccomp"))
		return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
	if (is(how, "raw"))
		return raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)&program);
	BROKEN("no way %s", how);
}

static void *filtered_thread(void *argument)
{
	answer(set_filter("prctl", SYS_futex, *(unsigned *)argument) ? "err" : "ok");
	for (;;)
		pause();
}

static void kept_or_not(int kept)
{
	char text[] = "ok 0\n";
	text[3] = '0' + kept % 10;
	raw(SYS_write, 1, (long)text, 5);
}

/* One byte a command: no more than to read and to write. */
static void obey_strictly(int kept)
{
	char line[64];
	for (;;) {
		long length = raw(SYS_read, 0, (long)line, sizeof line);
		if (length <= 0)
			raw(SYS_exit, 0, 0, 0);
		kept_or_not(kept);
	}
}

int main(void)
{
	int kept = 0;
	answer("ready");
	for (const char *line; (line = command());) {
		char how[32], name[32], action[32];
		if (sscanf(line, "filter %31s %31s %31s", how, name, action) == 3) {
			unsigned call = is(name, "reboot") ? SYS_reboot
				: is(name, "socket") ? SYS_socket
				: is(name, "futex") ? SYS_futex
				: is(name, "clone3") ? SYS_clone3
				: is(name, "kcmp") ? SYS_kcmp : SYS_getpid;
			unsigned what = is(action, "kill") ? SECCOMP_RET_KILL_PROCESS
				: is(action, "trap") ? SECCOMP_RET_TRAP
				: SECCOMP_RET_ERRNO | EPERM;
			int failed = set_filter(how, call, what);
			answer(failed ? "err %d" : "ok", errno);
		} else if (is(line, "thread")) {
			static unsigned what = SECCOMP_RET_KILL_PROCESS;
			start(filtered_thread, &what);
		} else if (is(line, "bad filter")) {
			answer("ok %d", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) ? errno : 0);
		} else if (is(line, "strict")) {
			answer("ok");
			prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
			obey_strictly(kept);
		} else if (strncmp(line, "unshare ", 8) == 0) {
			const char *what = line + 8;
			int flags = is(what, "pid") ? CLONE_NEWPID
				: is(what, "net") ? CLONE_NEWNET
				: is(what, "mount") ? CLONE_NEWNS
				: is(what, "user") ? CLONE_NEWUSER
				: is(what, "user-net") ? CLONE_NEWUSER | CLONE_NEWNET
				: is(what, "user-pid") ? CLONE_NEWUSER | CLONE_NEWPID : CLONE_NEWIPC;
			answer(unshare(flags) ? "err %d" : "ok", errno);
		} else if (is(line, "empty root")) {
			char place[] = "empty-XXXXXX";
			int failed = !mkdtemp(place) || chroot(place) || chdir("/");
			answer(failed ? "err %d" : "ok", errno);
		} else if (is(line, "fork")) {
			pid_t child = fork();
			if (child == 0)
				_exit(0);
			int status = 0;
			answer(child < 0 || waitpid(child, &status, 0) != child || status ? "err %d" : "ok", errno);
		} else if (strncmp(line, "keep ", 5) == 0) {
			kept = atoi(line + 5);
			answer("ok");
		} else if (is(line, "kept")) {
			answer("ok %d", kept);
		} else {
			answer("err %s", line);
		}
	}
	return 0;
}
