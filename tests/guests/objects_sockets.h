/* Unconnected and listening sockets: their options, names and state. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/un.h>

static const struct sockaddr_in loopback = { .sin_family = AF_INET,
					     .sin_addr = { 0x0100007f } };

static int port_of(int socket)
{
	struct sockaddr_in name = { 0 };
	socklen_t length = sizeof name;
	return getsockname(socket, (struct sockaddr *)&name, &length) ? -1 : ntohs(name.sin_port);
}

static int is_connected(int socket)
{
	struct sockaddr_storage name;
	socklen_t length = sizeof name;
	return getpeername(socket, (struct sockaddr *)&name, &length) == 0;
}

/* On a port that the kernel picks. */
static int bind_anywhere(int socket)
{
	return bind(socket, (const struct sockaddr *)&loopback, sizeof loopback);
}

static int connect_to(int socket, int port)
{
	struct sockaddr_in name = loopback;
	name.sin_port = htons(port);
	return connect(socket, (struct sockaddr *)&name, sizeof name);
}

/* Options with a number for a value, and one for each level. */
static const struct {
	const char *name;
	int level, option, values[3];
} tcp_options[] = {
	{ "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, { 1, 0, 1 } },
	{ "SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, { 1, 1, 0 } },
	/* This one sets the priority as well. */
	{ "IP_TOS", IPPROTO_IP, IP_TOS, { 16, 8, 4 } },
	{ "SO_PRIORITY", SOL_SOCKET, SO_PRIORITY, { 1, 2, 3 } },
	{ "SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, { 5, 6, 7 } },
	{ "TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, { 1, 0, 1 } },
	{ "TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, { 11, 22, 33 } },
	{ "TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, { 1000, 2000, 3000 } },
	{ "IP_TTL", IPPROTO_IP, IP_TTL, { 61, 62, 63 } },
};
#define TCP_OPTIONS ((int)(sizeof tcp_options / sizeof *tcp_options))

static struct {
	int tcp, udp, bound, local, port;
} sockets;

static void set_number(int socket, int level, int name, int value)
{
	setsockopt(socket, level, name, &value, sizeof value);
}

static void set_sockets(int level)
{
	struct timeval patience = { 100 * level, 500000 };
	struct linger linger = { level != 2, 10 * level };
	if (level == 1) {
		sockets.tcp = DO(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
		sockets.udp = DO(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
		sockets.bound = DO(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
		sockets.local = DO(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
		DO(bind_anywhere(sockets.bound));
		sockets.port = port_of(sockets.bound);
	}
	for (int option = 0; option < TCP_OPTIONS; option++)
		set_number(sockets.tcp, tcp_options[option].level, tcp_options[option].option,
			   tcp_options[option].values[level - 1]);
	DO(setsockopt(sockets.tcp, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
	DO(setsockopt(sockets.tcp, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
	DO(setsockopt(sockets.udp, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience));
	set_number(sockets.tcp, SOL_SOCKET, SO_RCVBUF, 30000 * level);
	set_number(sockets.udp, SOL_SOCKET, SO_BROADCAST, level % 2);
	set_number(sockets.bound, SOL_SOCKET, SO_SNDBUF, 20000 * level);
}

static void is_patient(int socket, int name, int seconds)
{
	struct timeval patience = { 0, 0 };
	socklen_t length = sizeof patience;
	getsockopt(socket, SOL_SOCKET, name, &patience, &length);
	SAME(patience.tv_sec, seconds, "a socket's time limit");
	SAME(patience.tv_usec / 100000, 5, "a socket's time limit, its tenths");
}

/* A new one on 127.0.0.1. */
static int listen_anywhere(void)
{
	int listener = DO(socket(AF_INET, SOCK_STREAM, 0));
	DO(bind_anywhere(listener));
	DO(listen(listener, 8));
	return listener;
}

static void check_sockets(int level)
{
	struct linger linger = { 0, 0 };
	socklen_t length = sizeof linger;
	int all[] = { sockets.tcp, sockets.udp, sockets.bound, sockets.local };
	for (int option_ = 0; option_ < TCP_OPTIONS; option_++)
		SAME(option(sockets.tcp, tcp_options[option_].level, tcp_options[option_].option),
		     tcp_options[option_].values[level - 1], "%s", tcp_options[option_].name);
	getsockopt(sockets.tcp, SOL_SOCKET, SO_LINGER, &linger, &length);
	SAME(linger.l_onoff, level != 2, "whether SO_LINGER is on");
	if (linger.l_onoff)
		SAME(linger.l_linger, 10 * level, "the time of SO_LINGER");
	is_patient(sockets.tcp, SO_RCVTIMEO, 100 * level);
	is_patient(sockets.udp, SO_SNDTIMEO, 100 * level);
	SAME(option(sockets.tcp, SOL_SOCKET, SO_RCVBUF), 60000 * level, "SO_RCVBUF");
	SAME(option(sockets.udp, SOL_SOCKET, SO_BROADCAST), level % 2, "SO_BROADCAST");
	SAME(option(sockets.bound, SOL_SOCKET, SO_SNDBUF), 40000 * level, "SO_SNDBUF");
	for (int which = 0; which < 4; which++) {
		WANT(!is_connected(all[which]), "socket %d is connected", which);
		SAME(option(all[which], SOL_SOCKET, SO_ACCEPTCONN), 0, "whether %d listens", which);
		SAME(option(all[which], SOL_SOCKET, SO_ERROR), 0, "the error of socket %d", which);
	}
	SAME(port_of(sockets.bound), sockets.port, "the port of a bound socket");
	/* They do what a socket in that state does. */
	DO(connect_to(sockets.udp, sockets.port));
	DO(send(sockets.udp, "hello", 5, 0));
	WANT(is_ready(sockets.bound, 5000), "a datagram to a bound socket does not arrive");
	reads(sockets.bound, "hello", 5, "a datagram to a bound socket");
	int listener = listen_anywhere();
	WANT(connect_to(sockets.tcp, port_of(listener)) == 0 || errno == EINPROGRESS,
	     "a TCP socket can't connect: %s", strerror(errno));
	WANT(is_ready(listener, 5000), "a TCP socket does not connect");
	close(listener);
}

static void change_options(void)
{
	struct timeval patience = { 1, 0 };
	struct linger linger = { 1, 77 };
	for (int option_ = 0; option_ < TCP_OPTIONS; option_++)
		set_number(sockets.tcp, tcp_options[option_].level, tcp_options[option_].option,
			   !tcp_options[option_].values[0]);
	setsockopt(sockets.tcp, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	setsockopt(sockets.tcp, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(sockets.udp, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	set_number(sockets.bound, SOL_SOCKET, SO_SNDBUF, 100000);
}

static void connect_tcp(void)
{
	int listener = aloft(listen_anywhere());
	/* One that listens can't. */
	if (connect_to(sockets.tcp, port_of(listener)) == 0 || errno == EINPROGRESS)
		close(aloft(accept(listener, NULL, NULL)));
	close(listener);
}

static void connect_udp(void)
{
	connect_to(sockets.udp, sockets.port);
	connect_to(sockets.bound, sockets.port);
}

static void listen_tcp(void)
{
	bind_anywhere(sockets.tcp);
	listen(sockets.tcp, 3);
}

static void shut_sockets(void)
{
	connect_to(sockets.udp, sockets.port);
	shutdown(sockets.udp, SHUT_RDWR);
	close(sockets.bound);
}

/* Listening sockets: their addresses are kept, so that who knows them finds them again. */
enum listener { TCP, TCP6, PATH, ABSTRACT, PACKETS, LISTENERS };
static const char *const listener_names[] = { "TCP", "TCP6", "path", "abstract", "packets" };
static struct {
	int fd, type;
	socklen_t length;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} address;
} listeners[LISTENERS];

static void name_listener(int which)
{
	struct sockaddr_un *un = &listeners[which].address.un;
	listeners[which].type = which == PACKETS ? SOCK_SEQPACKET : SOCK_STREAM;
	listeners[which].address.in = loopback;
	listeners[which].length = sizeof loopback;
	if (which == TCP6) {
		listeners[which].address.in6 =
			(struct sockaddr_in6){ .sin6_family = AF_INET6,
					       .sin6_addr = IN6ADDR_LOOPBACK_INIT };
		listeners[which].length = sizeof(struct sockaddr_in6);
	} else if (which != TCP) {
		memset(un, 0, sizeof *un);
		un->sun_family = AF_UNIX;
		/* No other test has this directory, so none has the name. */
		snprintf(un->sun_path, sizeof un->sun_path, "%s%.80s/%s", which == ABSTRACT ? "@" : "",
			 base, listener_names[which]);
		listeners[which].length = offsetof(struct sockaddr_un, sun_path) +
					  strlen(un->sun_path) + (which != ABSTRACT);
		if (which == ABSTRACT)
			un->sun_path[0] = 0;
	}
}

static void set_listeners(int level)
{
	for (int which = 0; which < LISTENERS && level == 1; which++) {
		name_listener(which);
		int family = listeners[which].address.any.sa_family;
		listeners[which].fd = socket(family, listeners[which].type | SOCK_NONBLOCK, 0);
		/* There are machines without IPv6. */
		if (listeners[which].fd < 0 ||
		    bind(listeners[which].fd, &listeners[which].address.any,
			 listeners[which].length)) {
			if (which != TCP6)
				BROKEN("bind to %s: %s", listener_names[which], strerror(errno));
			close(listeners[which].fd);
			listeners[which].fd = -1;
			continue;
		}
		DO(listen(listeners[which].fd, 16));
		listeners[which].length = sizeof listeners[which].address;
		getsockname(listeners[which].fd, &listeners[which].address.any,
			    &listeners[which].length);
	}
	DO(listen(listeners[PATH].fd, 2 + level));
	set_number(listeners[TCP].fd, SOL_SOCKET, SO_KEEPALIVE, level % 2);
}

static void check_listener(int which)
{
	const char *name = listener_names[which];
	typeof(listeners[0].address) address;
	socklen_t length = sizeof address;
	int listener = listeners[which].fd;
	char bytes[5] = "";
	SAME(option(listener, SOL_SOCKET, SO_ACCEPTCONN), 1, "whether the %s one listens", name);
	getsockname(listener, &address.any, &length);
	SAME(length, listeners[which].length, "the length of the %s one's name", name);
	WANT(memcmp(&address, &listeners[which].address, length) == 0, "the %s one has another name",
	     name);
	int client = DO(socket(address.any.sa_family, listeners[which].type, 0));
	WANT(connect(client, &listeners[which].address.any, listeners[which].length) == 0,
	     "nobody can connect to the %s one: %s", name, strerror(errno));
	WANT(is_ready(listener, 5000), "a connection to the %s one does not arrive", name);
	int server = accept(listener, NULL, NULL);
	WANT(server >= 0, "a connection to the %s one can't be accepted: %s", name, strerror(errno));
	DO(write(server, "hello", 5));
	WANT(read(client, bytes, 5) == 5 && memcmp(bytes, "hello", 5) == 0,
	     "a connection to the %s one carries nothing", name);
	close(client);
	close(server);
}

static void check_listeners(int level)
{
	SAME(option(listeners[TCP].fd, SOL_SOCKET, SO_KEEPALIVE), level % 2, "SO_KEEPALIVE");
	for (int which = 0; which < LISTENERS; which++)
		if (listeners[which].fd >= 0)
			check_listener(which);
}

static void close_listeners(void)
{
	for (int which = 0; which < LISTENERS; which++)
		close(listeners[which].fd);
}

/* Not the abstract one: its name is the socket's for as long as any snapshot has it. */
static void shut_listeners(void)
{
	for (int which = 0; which < LISTENERS; which++)
		if (which != ABSTRACT)
			shutdown(listeners[which].fd, SHUT_RDWR);
}

static void shut_reading(void)
{
	for (int which = 0; which < LISTENERS; which++)
		if (which != ABSTRACT)
			shutdown(listeners[which].fd, SHUT_RD);
}

static void listener_options(void)
{
	set_number(listeners[TCP].fd, SOL_SOCKET, SO_KEEPALIVE, 0);
}
