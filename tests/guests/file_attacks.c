/* Guest: attacks on whoever performs its calls for it. Each command makes a child that does one
 * attack and says what the kernel answered, so that the test can compare that with the answers
 * without the tool. None may succeed where the child's own rights do not suffice.
 *
 * It runs in a directory with `secret` (a file of mode 600 of who started it, with the text
 * `secret`), `closed` (a directory of mode 755 of the same, with the file `kept`) and `own` (a
 * directory that everybody may write to). As root it becomes the user 65534 where that matters. */
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <utime.h>

#define NOBODY 65534

static char said[8192];

/* Adds to the answer what a call gave: its number if it is small, or the error's name. */
static void note(const char *what, long answer)
{
	char *end = said + strlen(said);
	const char *error = answer < 0 ? strerrorname_np(errno) : "ok";
	snprintf(end, (size_t)(said + sizeof said - end), " %s=%s", what, error);
}

static void text(const char *what, const char *value)
{
	char *end = said + strlen(said);
	snprintf(end, (size_t)(said + sizeof said - end), " %s=%s", what, value);
}

static void must(const char *what, long answer)
{
	if (answer < 0)
		BROKEN("%s: %s", what, strerror(errno));
}

static void become_nobody(void)
{
	must("setgroups", syscall(SYS_setgroups, 0, NULL));
	must("setresgid", setresgid(NOBODY, NOBODY, NOBODY));
	must("setresuid", setresuid(NOBODY, NOBODY, NOBODY));
}

/* Opens for writing, and closes again. */
static void try_open(const char *what, const char *path, int flags)
{
	int file = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0644);
	note(what, file);
	if (file >= 0)
		close(file);
}

/* Every kind of change to what is root's. */
static void try_all(void)
{
	try_open("write", "secret", O_WRONLY);
	try_open("both", "secret", O_RDWR);
	try_open("truncating", "secret", O_WRONLY | O_TRUNC);
	try_open("appending", "secret", O_WRONLY | O_APPEND);
	try_open("creating", "closed/new", O_WRONLY | O_CREAT);
	try_open("temporary", "closed", O_RDWR | O_TMPFILE);
	note("truncate", truncate("secret", 0));
	note("unlink", unlink("closed/kept"));
	note("rename", rename("closed/kept", "closed/moved"));
	note("rename-out", rename("closed/kept", "own/kept"));
	note("rename-in", rename("own/file", "closed/kept"));
	note("exchange", renameat2(AT_FDCWD, "own/file", AT_FDCWD, "secret", RENAME_EXCHANGE));
	note("link-in", link("own/file", "closed/link"));
	note("symlink", symlink("x", "closed/symlink"));
	note("mkdir", mkdir("closed/directory", 0755));
	note("rmdir", rmdir("closed"));
	note("fifo", mknod("closed/fifo", S_IFIFO | 0644, 0));
	note("device", mknod("own/device", S_IFCHR | 0666, 0x103));
	note("chmod", chmod("secret", 0666));
	note("chown", chown("secret", NOBODY, NOBODY));
	note("give", chown("own/file", 0, 0));
	note("utime", utime("secret", NULL));
	note("setxattr", setxattr("secret", "user.x", "x", 1, 0));
	note("trusted", setxattr("own/file", "trusted.x", "x", 1, 0));
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "closed/socket" };
	int bound = socket(AF_UNIX, SOCK_STREAM, 0);
	note("bind", bind(bound, (struct sockaddr *)&address, sizeof address));
}

static void dropped(void)
{
	become_nobody();
	try_all();
	/* Its own it may still change, and that is its own. */
	int file = open("own/new", O_WRONLY | O_CREAT | O_EXCL, 0666);
	note("own", file);
	struct stat status;
	must("fstat", fstat(file, &status));
	text("owner", status.st_uid == NOBODY && status.st_gid == NOBODY ? "nobody" : "another");
	note("own-rename", rename("own/new", "own/newer"));
	note("own-unlink", unlink("own/newer"));
}

/* The ids of one thread alone, as the kernel counts them. */
static void dropped_in_a_thread(void)
{
	must("setresuid", syscall(SYS_setresuid, -1, NOBODY, -1));
	try_all();
}

static void dropped_for_files(void)
{
	setfsuid(NOBODY);
	setfsgid(NOBODY);
	try_all();
}

static void without_capabilities(void)
{
	unsigned header[2] = { 0x20080522, 0 }, none[6] = { 0 };
	must("chown", chown("secret", NOBODY, NOBODY));
	must("capset", syscall(SYS_capset, header, none));
	try_open("write", "secret", O_WRONLY);
	note("chmod", chmod("secret", 0666));
	note("give", chown("own/file", NOBODY, NOBODY));
	note("device", mknod("own/device", S_IFCHR | 0666, 0x103));
}

/* A path of eight bytes and its end. */
static char *raced;
static atomic_int over;

/* Swaps a path's text in memory all the time. */
static void *swap_text(void *unused)
{
	(void)unused;
	uint64_t mine, other;
	memcpy(&mine, "own/file", sizeof mine);
	memcpy(&other, "./secret", sizeof other);
	while (!over) {
		__atomic_store_n((uint64_t *)raced, mine, __ATOMIC_RELAXED);
		__atomic_store_n((uint64_t *)raced, other, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Swaps a symbolic link all the time; it is always one of the two. */
static void *swap_link(void *unused)
{
	(void)unused;
	const char *const targets[] = { "file", "../secret" };
	for (unsigned turn = 0; !over; turn++)
		if (!symlink(targets[turn % 2], "own/next"))
			rename("own/next", "own/way");
	return NULL;
}

#define TRIES 3000

static void race(void *(*swapper)(void *), const char *path)
{
	struct stat secret;
	must("stat", stat("secret", &secret));
	become_nobody();
	pthread_t thread = start(swapper, NULL);
	int opened = 0, changed = 0, wrong = 0;
	/* The swapper may begin late. */
	for (int i = 0; i < TRIES || (!(opened && changed) && i < 100 * TRIES); i++) {
		int file = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
		if (file >= 0) {
			struct stat found;
			must("fstat", fstat(file, &found));
			wrong += found.st_ino == secret.st_ino;
			opened++;
			close(file);
		}
		if (!truncate(path, 0) || !chmod(path, 0666))
			changed++;
		/* Of a link that would move the link itself. */
		if (swapper == swap_text && !rename(path, "own/renamed"))
			rename("own/renamed", "own/file");
	}
	over = 1;
	pthread_join(thread, NULL);
	struct stat now;
	must("stat", stat("secret", &now));
	wrong += now.st_size != secret.st_size || now.st_mode != secret.st_mode;
	text("changed", changed ? "some" : "none");
	text("opened", opened ? "some" : "none");
	text("wrong", wrong ? "some" : "none");
}

static void raced_path(void)
{
	raced = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	strcpy(raced, "own/file");
	race(swap_text, raced);
}

static void raced_link(void)
{
	race(swap_link, "own/way");
}

/* Its own links in /proc lead to its own things. */
static void through_proc(void)
{
	char path[64];
	int read_only = open("secret", O_RDONLY | O_CLOEXEC);
	must("open", read_only);
	int own = open("own/file", O_RDONLY | O_CLOEXEC);
	must("open", own);
	become_nobody();
	must("dumpable", prctl(PR_SET_DUMPABLE, 1));
	snprintf(path, sizeof path, "/proc/self/fd/%d", read_only);
	try_open("fd-of-secret", path, O_WRONLY);
	snprintf(path, sizeof path, "/proc/thread-self/fd/%d", read_only);
	try_open("thread-fd-of-secret", path, O_WRONLY);
	snprintf(path, sizeof path, "/dev/fd/%d", own);
	try_open("fd-of-own", path, O_WRONLY | O_APPEND);
	try_open("root", "/proc/self/root/etc/passwd", O_WRONLY);
	try_open("cwd", "/proc/self/cwd/secret", O_WRONLY);
	try_open("cwd-own", "/proc/self/cwd/own/file", O_WRONLY);
	try_open("parent", "/proc/1/mem", O_RDWR);
	try_open("tty", "/dev/tty", O_RDWR);
	try_open("null", "/dev/null", O_RDWR);

	/* Its memory, not that of whoever opens it. */
	static char here[] = "before";
	int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	note("mem", memory);
	note("mem-write", pwrite(memory, "after!", 6, (off_t)(uintptr_t)here));
	text("mem-is", here);
	int name = open("/proc/self/comm", O_WRONLY | O_CLOEXEC);
	note("comm", name);
	note("comm-write", write(name, "renamed", 7));
	char now[16] = "";
	prctl(PR_GET_NAME, now);
	text("comm-is", now);

	/* A pipe in place of its stdout. */
	int ends[2];
	must("pipe", pipe(ends));
	int out = dup(1);
	must("dup2", dup2(ends[1], 1));
	int again = open("/dev/stdout", O_WRONLY | O_CLOEXEC);
	note("stdout", again);
	note("stdout-write", write(again, "hello", 5));
	char got[8] = "";
	note("stdout-read", read(ends[0], got, 5));
	text("stdout-is", got);
	must("dup2", dup2(out, 1));
}

/* In a root of its own every path means something else. */
static void in_a_root(void)
{
	mkdir("own/root", 0755);
	mkdir("own/root/etc", 0755);
	must("chroot", chroot("own/root"));
	must("chdir", chdir("/"));
	try_open("create", "/inside", O_WRONLY | O_CREAT | O_EXCL);
	try_open("up", "../../../../up", O_WRONLY | O_CREAT | O_EXCL);
	try_open("passwd", "/etc/passwd", O_WRONLY);
	note("symlink", symlink("/inside", "way"));
	try_open("way", "/way", O_WRONLY);
	note("rename", rename("/inside", "/etc/inside"));
	note("link", link("/etc/inside", "/linked"));
	note("missing", rename("/secret", "/stolen"));
	note("find-up", access("/up", F_OK));
	note("unlink", unlink("/linked") | unlink("/etc/inside") | unlink("/up") | unlink("/way"));
}

static void write_file(const char *path, const char *line)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	must(path, file);
	must(path, write(file, line, strlen(line)));
	close(file);
}

/* Root of a user namespace is nobody outside. */
static void in_a_user_namespace(void)
{
	become_nobody();
	must("dumpable", prctl(PR_SET_DUMPABLE, 1));
	if (unshare(CLONE_NEWUSER)) {
		note("unshare", -1);
		return;
	}
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", "0 65534 1");
	write_file("/proc/self/gid_map", "0 65534 1");
	text("uid", getuid() == 0 ? "root" : "another");
	try_all();
	note("own-chmod", chmod("own/file", 0640) | chmod("own/file", 0666));
}

/* In mounts of its own a path may lead elsewhere. */
static void in_mounts(void)
{
	if (unshare(CLONE_NEWNS)) {
		note("unshare", -1);
		return;
	}
	must("private", mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	mkdir("own/mount", 0755);
	must("tmpfs", mount("x", "own/mount", "tmpfs", 0, NULL));
	try_open("create", "own/mount/inside", O_WRONLY | O_CREAT | O_EXCL);
	note("mkdir", mkdir("own/mount/directory", 0755));
	note("across", rename("own/mount/inside", "own/outside"));
	must("read-only", mount("x", "own/mount", NULL, MS_REMOUNT | MS_RDONLY, NULL));
	try_open("read-only", "own/mount/inside", O_WRONLY);
	note("read-only-unlink", unlink("own/mount/inside"));
	note("busy", rmdir("own/mount"));
	must("umount", umount("own/mount"));
	note("underneath", access("own/mount/inside", F_OK));
	note("rmdir", rmdir("own/mount"));
}

/* A domain that may change only what is below `own`. */
static void in_a_domain(void)
{
	struct landlock_ruleset_attr rules = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |
				     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |
				     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_SYM,
	};
	int domain = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
	if (domain < 0) {
		text("landlock", "none");
		return;
	}
	struct landlock_path_beneath_attr below = {
		.allowed_access = rules.handled_access_fs,
		.parent_fd = open("own", O_PATH | O_CLOEXEC),
	};
	must("add", syscall(SYS_landlock_add_rule, domain, LANDLOCK_RULE_PATH_BENEATH, &below, 0));
	must("privileges", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	must("restrict", syscall(SYS_landlock_restrict_self, domain, 0));
	try_open("write", "secret", O_WRONLY);
	try_open("create", "closed/new", O_WRONLY | O_CREAT);
	note("unlink", unlink("closed/kept"));
	note("mkdir", mkdir("closed/directory", 0755));
	note("symlink", symlink("x", "closed/symlink"));
	note("rename-out", rename("closed/kept", "own/kept"));
	note("rename-in", rename("own/file", "closed/moved"));
	try_open("own", "own/new", O_WRONLY | O_CREAT | O_EXCL);
	note("own-rename", rename("own/new", "own/newer"));
	note("own-unlink", unlink("own/newer"));
}

/* Limits of the process that makes the call. */
static void within_limits(void)
{
	signal(SIGXFSZ, SIG_IGN);
	int lowest = open("own/file", O_RDONLY | O_CLOEXEC);
	must("open", lowest);
	close(lowest);
	int again = open("own/file", O_WRONLY | O_CLOEXEC);
	text("lowest", again == lowest ? "yes" : "no");
	int flags = fcntl(again, F_GETFD);
	text("close-on-exec", flags & FD_CLOEXEC ? "yes" : "no");
	int kept = open("own/file", O_WRONLY);
	text("kept-on-exec", fcntl(kept, F_GETFD) & FD_CLOEXEC ? "no" : "yes");
	struct rlimit size = { 1000, 1000 };
	must("setrlimit", setrlimit(RLIMIT_FSIZE, &size));
	note("too-long", truncate("own/file", 2000));
	note("long", truncate("own/file", 900));
	note("write-too-long", pwrite(again, "x", 1, 2000));
	struct rlimit files = { (rlim_t)kept + 1, (rlim_t)kept + 1 };
	must("setrlimit", setrlimit(RLIMIT_NOFILE, &files));
	try_open("too-many", "own/file", O_WRONLY);
	try_open("too-many-new", "own/never", O_WRONLY | O_CREAT);
	note("was-it-made", access("own/never", F_OK));
	unlink("own/never");
}

/* Modes and owners of what is made are those that the maker would get. */
static void what_it_makes(void)
{
	struct stat status;
	char mode[32];
	must("mkdir", mkdir("own/group", 02777));
	must("chown", chown("own/group", 0, 1234));
	must("chmod", chmod("own/group", 02777));
	must("sticky", mkdir("own/sticky", 0777));
	must("sticky", chmod("own/sticky", 01777));
	try_open("others", "own/sticky/others", O_WRONLY | O_CREAT);
	become_nobody();
	umask(027);
	try_open("file", "own/group/file", O_WRONLY | O_CREAT);
	note("mkdir", mkdir("own/group/directory", 0777));
	must("stat", stat("own/group/file", &status));
	snprintf(mode, sizeof mode, "%o/%u", status.st_mode, status.st_gid);
	text("file", mode);
	must("stat", stat("own/group/directory", &status));
	snprintf(mode, sizeof mode, "%o/%u", status.st_mode, status.st_gid);
	text("directory", mode);
	note("sticky-unlink", unlink("own/sticky/others"));
	note("sticky-rename", rename("own/sticky/others", "own/sticky/x"));
	note("no-follow", open("own/way", O_WRONLY | O_NOFOLLOW));
	note("path-only", open("secret", O_PATH | O_CLOEXEC));
	note("bad-path", open((const char *)8, O_WRONLY));
	note("bad-rename", rename("own/file", (const char *)8));
	note("empty", open("", O_WRONLY | O_CREAT, 0666));
	note("directory", open("own", O_WRONLY));
	note("slash", open("own/new/", O_WRONLY | O_CREAT, 0666));
	note("dot", rmdir("own/group/."));
	note("dots", rename("own/..", "own/x"));
	note("bad-flags", renameat2(AT_FDCWD, "own/file", AT_FDCWD, "own/x", 0x80));
	note("bad-fd", openat(999, "x", O_WRONLY | O_CREAT, 0666));
	note("not-a-directory", openat(0, "x", O_WRONLY | O_CREAT, 0666));
}

/* A program with the rights of its file's owner. The test compiles this guest as that, too. */
static void by_a_set_uid_program(void)
{
	must("setresuid", setresuid(1234, 1234, 1234));
	execl("./setuid", "setuid", "child", NULL);
	must("execl", -1);
}

static void as_a_set_uid_program(void)
{
	/* The tool takes set-uid rights away, which is one of two right answers. */
	uid_t rights = geteuid();
	if (rights != 1234 && rights != NOBODY)
		BROKEN("it runs as %u", rights);
	try_all();
	puts(said);
}

static const struct {
	const char *name;
	void (*attack)(void);
} attacks[] = {
	{ "dropped", dropped },
	{ "dropped-in-a-thread", dropped_in_a_thread },
	{ "dropped-for-files", dropped_for_files },
	{ "without-capabilities", without_capabilities },
	{ "raced-path", raced_path },
	{ "raced-link", raced_link },
	{ "through-proc", through_proc },
	{ "in-a-root", in_a_root },
	{ "in-a-user-namespace", in_a_user_namespace },
	{ "in-mounts", in_mounts },
	{ "in-a-domain", in_a_domain },
	{ "within-limits", within_limits },
	{ "what-it-makes", what_it_makes },
	{ "by-a-set-uid-program", by_a_set_uid_program },
};

static void attack(const char *name)
{
	int ends[2];
	must("pipe", pipe(ends));
	pid_t child = fork();
	must("fork", child);
	if (!child) {
		must("dup2", dup2(ends[1], 1));
		for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++)
			if (is(name, attacks[i].name)) {
				attacks[i].attack();
				puts(said);
				fflush(stdout);
				_exit(0);
			}
		BROKEN("no such attack: %s", name);
	}
	close(ends[1]);
	static char result[sizeof said];
	size_t length = 0;
	for (ssize_t part; (part = read(ends[0], result + length, sizeof result - 1 - length)) > 0;)
		length += (size_t)part;
	close(ends[0]);
	result[length] = 0;
	result[strcspn(result, "\n")] = 0;
	int status;
	must("waitpid", waitpid(child, &status, 0));
	if (status)
		answer("err the child ended with %x", status);
	else
		answer("ok%s", result);
}

int main(int count, char **arguments)
{
	if (count == 2 && is(arguments[1], "child")) {
		as_a_set_uid_program();
		return 0;
	}
	answer("ready");
	for (const char *line; (line = command());)
		attack(line);
	return 0;
}
