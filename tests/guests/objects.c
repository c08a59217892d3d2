/* Guest: kernel objects, which a copy of a process shares with it. The arguments name kinds;
 * `all` means every kind.
 *
 * `set LEVEL` brings them into a known state, `check LEVEL` checks all of it and may consume
 * data, `spoils` lists the ways to change it, `spoil NAME` applies one of them, and
 * `spoil NUMBER` a random choice with that seed. */
#include "objects.h"
#include "objects_files.h"
#include "objects_locks.h"
#include "objects_events.h"
#include "objects_epoll.h"
#include "objects_pipes.h"
#include "objects_pairs.h"
#include "objects_terminals.h"
#include "objects_sockets.h"
#include "objects_memory.h"

static const struct kind kinds[] = {
	{ "files", set_files, check_files,
	  { { "seek", seek_files }, { "read", read_files }, { "flags", flag_files },
	    { "reopen", reopen_file }, { "originals", close_originals } } },
	{ "directories", set_directories, check_directories,
	  { { "rewind", rewind_directory }, { "read", read_directory },
	    { "reopen", reopen_directory } } },
	{ "settings", set_settings, check_settings,
	  { { "umask", change_umask }, { "directory", change_directory }, { "up", go_up },
	    { "limits", change_limits }, { "hard", lower_hard_limit } } },
	{ "locks", set_locks, check_locks,
	  { { "unflock", unlock_flocks }, { "reflock", change_flocks },
	    { "unlock", unlock_ranges }, { "more", lock_more_ranges },
	    { "another", close_another } } },
	{ "eventfds", set_eventfds, check_eventfds,
	  { { "read", read_eventfds }, { "write", write_eventfds },
	    { "semaphore", replace_semaphore } } },
	{ "timerfds", set_timerfds, check_timerfds,
	  { { "read", read_timers }, { "disarm", disarm_timers }, { "rearm", rearm_timers },
	    { "clock", replace_timers } } },
	{ "signalfds", set_signalfds, check_signalfds,
	  { { "mask", change_mask }, { "widen", widen_no_mask }, { "read", read_signal } } },
	{ "inotify", set_inotify, check_inotify,
	  { { "remove", remove_watches }, { "add", add_watches }, { "change", change_watches },
	    { "renew", renew_watcher } } },
	{ "epoll", set_epoll, check_epoll,
	  { { "delete", delete_targets }, { "modify", modify_targets }, { "add", add_targets },
	    { "fire", fire_targets }, { "ready", ready_targets }, { "targets", close_targets },
	    { "renew", replace_poller } } },
	{ "pipes", set_pipes, check_pipes,
	  { { "drain", drain_pipes }, { "left", read_left }, { "write", write_pipes },
	    { "resize", resize_pipes }, { "packets", unpack_pipes }, { "readers", close_readers },
	    { "writers", close_writers }, { "cross", cross_pipes } } },
	{ "fifos", set_fifos, check_fifos,
	  { { "drain", drain_fifos }, { "write", write_fifos }, { "resize", resize_fifos },
	    { "readers", close_fifo_readers }, { "writers", close_fifo_writers } } },
	{ "pairs", set_pairs, check_pairs,
	  { { "drain", drain_pairs }, { "write", write_pairs }, { "shut", shut_pairs },
	    { "half", shut_half }, { "peers", close_peers }, { "options", set_pair_options } } },
	{ "terminals", set_terminals, check_terminals,
	  { { "raw", make_raw }, { "resize", resize_terminal }, { "slave", close_slave },
	    { "master", close_master } } },
	{ "sockets", set_sockets, check_sockets,
	  { { "options", change_options }, { "connect", connect_tcp }, { "udp", connect_udp },
	    { "listen", listen_tcp }, { "shut", shut_sockets } } },
	{ "listeners", set_listeners, check_listeners,
	  { { "close", close_listeners }, { "shut", shut_listeners }, { "reading", shut_reading },
	    { "options", listener_options } } },
	{ "memfds", set_memfds, check_memfds,
	  { { "write", write_memfds }, { "grow", grow_memfd }, { "shrink", shrink_memfd },
	    { "seal", seal_memfd }, { "seek", seek_memfd }, { "unmap", unmap_memfds },
	    { "cover", cover_memfds } } },
	{ "shared", set_shared, check_shared,
	  { { "write", write_shared }, { "files", write_mapped_files }, { "punch", punch_shared },
	    { "protect", protect_shared }, { "unmap", unmap_shared }, { "cover", cover_shared } } },
};

#define KINDS ((int)(sizeof kinds / sizeof *kinds))
#define OF_ALL ((int)(sizeof of_all / sizeof *of_all))

static char chosen[KINDS];
static int level;

/* Every way to change what was chosen; those of all descriptors are the last ones. */
static struct {
	const char *kind;
	struct spoil spoil;
} spoils[KINDS * 12 + OF_ALL];
static int spoil_count;

static void list_spoils(void)
{
	for (int kind = 0; kind < KINDS; kind++)
		for (const struct spoil *spoil = kinds[kind].spoils; chosen[kind] && spoil->name;
		     spoil++) {
			spoils[spoil_count].kind = kinds[kind].name;
			spoils[spoil_count++].spoil = *spoil;
		}
	for (int spoil = 0; spoil < OF_ALL; spoil++) {
		spoils[spoil_count].kind = "fds";
		spoils[spoil_count++].spoil = of_all[spoil];
	}
}

static unsigned long random_state;

static unsigned long next_random(void)
{
	unsigned long mixed = random_state += 0x9e3779b97f4a7c15;
	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
	return mixed ^ mixed >> 31;
}

/* About half of what can be done, in any order. */
static void spoil_at_random(unsigned long number)
{
	char list[4096] = "";
	int order[spoil_count], own = spoil_count - OF_ALL;
	random_state = number;
	for (int place = 0; place < spoil_count; place++)
		order[place] = place;
	for (int place = own - 1; place > 0; place--) {
		int other = next_random() % (place + 1), moved = order[place];
		order[place] = order[other];
		order[other] = moved;
	}
	for (int place = 0; place < spoil_count; place++) {
		/* Closing and replacing all of them hides what was done to them. */
		int is_rare = place >= own && place < spoil_count - 1;
		if (next_random() % (is_rare ? 4 : 2))
			continue;
		spoils[order[place]].spoil.act();
		snprintf(list + strlen(list), sizeof list - strlen(list), " %s.%s",
			 spoils[order[place]].kind, spoils[order[place]].spoil.name);
	}
	answer("ok%s", list);
}

static void spoil(const char *name)
{
	char full[64];
	if (*name >= '0' && *name <= '9') {
		spoil_at_random(strtoul(name, NULL, 10));
		return;
	}
	for (int which = 0; which < spoil_count; which++) {
		snprintf(full, sizeof full, "%s.%s", spoils[which].kind, spoils[which].spoil.name);
		if (is(name, full)) {
			spoils[which].spoil.act();
			answer("ok");
			return;
		}
	}
	answer("err no spoil %s", name);
}

static void set(int to)
{
	level = to;
	for (int kind = 0; kind < KINDS; kind++)
		if (chosen[kind])
			kinds[kind].set(level);
	look_up(table);
	answer("ok");
}

static void check(int wanted)
{
	if (setjmp(found)) {
		is_checking = 0;
		answer("err %s", difference);
		return;
	}
	is_checking = 1;
	checked = "memory";
	SAME(level, wanted, "the level");
	check_table();
	for (int kind = 0; kind < KINDS; kind++)
		if (chosen[kind]) {
			checked = kinds[kind].name;
			kinds[kind].check(level);
		}
	is_checking = 0;
	answer("ok");
}

int main(int count, char **arguments)
{
	int number, matched = 0;
	char name[64];
	signal(SIGPIPE, SIG_IGN);
	if (!getcwd(base, sizeof base))
		BROKEN("getcwd: %s", strerror(errno));
	for (int argument = 1; argument < count; argument++)
		for (int kind = 0; kind < KINDS; kind++)
			if (is(arguments[argument], "all") ||
			    is(arguments[argument], kinds[kind].name))
				chosen[kind] = matched = 1;
	if (!matched)
		BROKEN("no kind is named");
	for (int fd = 3; fd < MOST_FDS; fd++)
		foreign[fd] = fcntl(fd, F_GETFD) >= 0;
	list_spoils();
	for (const char *line; (line = command());) {
		if (sscanf(line, "set %d", &number) == 1) {
			set(number);
		} else if (sscanf(line, "check %d", &number) == 1) {
			check(number);
		} else if (is(line, "spoils")) {
			printf("ok");
			for (int which = 0; which < spoil_count; which++)
				printf(" %s.%s", spoils[which].kind, spoils[which].spoil.name);
			answer("");
		} else if (sscanf(line, "spoil %63s", name) == 1) {
			spoil(name);
		} else {
			answer("err %s", line);
		}
	}
	exit(0);
}
