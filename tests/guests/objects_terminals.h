/* Terminals that the program has made: their modes and their size. */
#include <termios.h>

static struct {
	int master, slave, dup;
} terminal;

static void set_terminals(int level)
{
	struct termios modes;
	struct winsize size = { .ws_row = 20 + level, .ws_col = 100 + level };
	if (level == 1) {
		terminal.master = DO(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
		DO(grantpt(terminal.master));
		DO(unlockpt(terminal.master));
		terminal.slave = DO(open(ptsname(terminal.master), O_RDWR | O_NOCTTY | O_NONBLOCK));
		terminal.dup = DO(dup(terminal.slave));
	}
	DO(tcgetattr(terminal.slave, &modes));
	modes.c_lflag = level == 2 ? 0 : ICANON | ISIG;
	modes.c_oflag = level == 3 ? OPOST : 0;
	modes.c_cc[VERASE] = '0' + level;
	modes.c_cc[VMIN] = level;
	cfsetspeed(&modes, level == 1 ? B9600 : B115200);
	DO(tcsetattr(terminal.slave, TCSANOW, &modes));
	DO(ioctl(terminal.master, TIOCSWINSZ, &size));
}

static void check_terminals(int level)
{
	struct termios modes;
	struct winsize size;
	DO(tcgetattr(terminal.dup, &modes));
	SAME(modes.c_lflag, level == 2 ? 0 : ICANON | ISIG, "the local modes");
	SAME(modes.c_oflag, level == 3 ? OPOST : 0, "the output modes");
	SAME(modes.c_cc[VERASE], '0' + level, "the erase character");
	SAME(modes.c_cc[VMIN], level, "the least number of bytes");
	SAME(cfgetospeed(&modes), level == 1 ? B9600 : B115200, "the speed");
	DO(ioctl(terminal.slave, TIOCGWINSZ, &size));
	SAME(size.ws_row, 20 + level, "the number of lines");
	SAME(size.ws_col, 100 + level, "the number of columns");
	WANT(write(terminal.master, "typed\n", 6) == 6 && is_ready(terminal.slave, 5000),
	     "what is typed does not arrive");
	reads(terminal.slave, "typed\n", 6, "what is typed");
	WANT(write(terminal.dup, "shown", 5) == 5 && is_ready(terminal.master, 5000),
	     "what is written is not shown");
	reads(terminal.master, "shown", 5, "what is shown");
}

static void make_raw(void)
{
	struct termios modes;
	if (tcgetattr(terminal.slave, &modes) == 0) {
		cfmakeraw(&modes);
		modes.c_cc[VERASE] = 'z';
		tcsetattr(terminal.slave, TCSANOW, &modes);
	}
}

static void resize_terminal(void)
{
	struct winsize size = { .ws_row = 1, .ws_col = 2, .ws_xpixel = 3 };
	ioctl(terminal.slave, TIOCSWINSZ, &size);
}

static void close_slave(void)
{
	close(terminal.slave);
	close(terminal.dup);
}

static void close_master(void)
{
	close(terminal.master);
}
