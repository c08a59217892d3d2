/* Guest: has one of each kind of descriptor. `hold` opens them, each at its own number, and
 * prints the numbers; `share` starts a child that has the other end of `given`, and `shared`
 * itself; `ping` answers. */
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

static char told[1024];
static int next = 100;

/* Moves a descriptor to the next number, and tells it by this name. */
static int hold(const char *name, int fd)
{
	if (fd < 0 || dup3(fd, next, O_CLOEXEC) < 0)
		BROKEN("%s: %s", name, strerror(errno));
	close(fd);
	snprintf(told + strlen(told), sizeof told - strlen(told), " %s=%d", name, next);
	return next++;
}

static void hold_all(void)
{
	int two[2];
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR2);
	hold("epoll", epoll_create1(0));
	hold("eventfd", eventfd(3, 0));
	hold("timerfd", timerfd_create(CLOCK_MONOTONIC, 0));
	hold("signalfd", signalfd(-1, &signals, 0));
	int watches = hold("inotify", inotify_init());
	inotify_add_watch(watches, ".", IN_CREATE);
	hold("memfd", memfd_create("held", 0));
	hold("read", open("/proc/self/exe", O_RDONLY));
	int written = hold("written", open("written", O_RDWR | O_CREAT, 0600));
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(written, F_SETLK, &lock))
		BROKEN("lock: %s", strerror(errno));
	hold("directory", open("/", O_RDONLY | O_DIRECTORY));
	hold("device", open("/dev/null", O_RDWR));
	hold("pidfd", syscall(SYS_pidfd_open, getpid(), 0));
	if (pipe(two))
		BROKEN("pipe: %s", strerror(errno));
	hold("reader", two[0]);
	hold("writer", two[1]);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, two))
		BROKEN("socketpair: %s", strerror(errno));
	hold("end", two[0]);
	hold("other", two[1]);
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof address;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int listener = hold("listener", socket(AF_INET, SOCK_STREAM, 0));
	if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1))
		BROKEN("listen: %s", strerror(errno));
	getsockname(listener, (struct sockaddr *)&address, &length);
	int client = hold("client", socket(AF_INET, SOCK_STREAM, 0));
	if (connect(client, (struct sockaddr *)&address, length))
		BROKEN("connect: %s", strerror(errno));
	hold("datagram", socket(AF_INET, SOCK_DGRAM, 0));
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		BROKEN("mmap: %s", strerror(errno));
	if (ftruncate(written, 4096) ||
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, written, 0) == MAP_FAILED)
		BROKEN("mmap of a file: %s", strerror(errno));
	int segment = shmget(IPC_PRIVATE, 4096, 0600);
	if (segment < 0 || shmat(segment, NULL, 0) == (void *)-1)
		BROKEN("System V: %s", strerror(errno));
	shmctl(segment, IPC_RMID, NULL);
}

static int local(const char *name, const struct sockaddr_un *address, int is_listener)
{
	int fd = hold(name, socket(AF_UNIX, SOCK_STREAM, 0));
	const struct sockaddr *at = (const struct sockaddr *)address;
	if (is_listener ? bind(fd, at, sizeof *address) || listen(fd, 2)
			: connect(fd, at, sizeof *address))
		BROKEN("%s: %s", name, strerror(errno));
	return fd;
}

static void hold_odd_ones(void)
{
	int two[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, two))
		BROKEN("socketpair: %s", strerror(errno));
	hold("closed", two[0]);
	close(two[1]);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, two))
		BROKEN("socketpair: %s", strerror(errno));
	int carrier = hold("carrier", two[0]);
	hold("carried", two[1]);
	struct iovec byte = { "x", 1 };
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } rights = { 0 };
	struct msghdr message = { .msg_iov = &byte, .msg_iovlen = 1, .msg_control = &rights,
				  .msg_controllen = sizeof rights };
	rights.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
					.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&rights.head), &carrier, sizeof carrier);
	if (sendmsg(carrier, &message, 0) != 1)
		BROKEN("sendmsg: %s", strerror(errno));
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "socket" };
	int listener = local("local", &address, 1);
	local("caller", &address, 0);
	hold("callee", accept(listener, NULL, NULL));
	local("waiter", &address, 0);
	hold("netlink", socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	if (openpty(&two[0], &two[1], NULL, NULL, NULL))
		BROKEN("openpty: %s", strerror(errno));
	hold("master", two[0]);
	hold("slave", two[1]);
	hold("path", open("/dev/tty", O_PATH));
	hold("socketpath", open("socket", O_PATH));
	int large = hold("large", memfd_create("large", 0));
	int mapped = hold("mapped", memfd_create("mapped", 0));
	if (ftruncate(large, 600l << 20) || ftruncate(mapped, 4096) ||
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0) == MAP_FAILED ||
	    mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		BROKEN("memory: %s", strerror(errno));
}

static void share(void)
{
	int two[2], ready[2];
	char byte;
	if (pipe(two) || pipe(ready))
		BROKEN("pipe: %s", strerror(errno));
	hold("given", two[1]);
	int shared = hold("shared", eventfd(0, 0));
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int fd = 0; fd < next; fd++)
			if (fd != two[0] && fd != shared && fd != ready[1])
				close(fd);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (child < 0 || read(ready[0], &byte, 1) != 1)
		BROKEN("child: %s", strerror(errno));
	close(ready[0]);
	close(two[0]);
	snprintf(told + strlen(told), sizeof told - strlen(told), " child=%d", child);
}

int main(void)
{
	for (const char *line; (line = command());) {
		told[0] = 0;
		if (is(line, "hold")) {
			hold_all();
		} else if (is(line, "odd")) {
			hold_odd_ones();
		} else if (is(line, "share")) {
			share();
		} else if (!is(line, "ping")) {
			answer("err %s", line);
			continue;
		}
		answer("ok%s", told);
	}
	exit(0);
}
