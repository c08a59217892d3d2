/* Guest: a thread inside vfork. Its child shares its memory and waits for a byte; until then no
 * signal reaches the thread. `vfork` is answered by the thread's id, `release`
 * by the child's status. */
static int go[2], begun[2], done[2];
static atomic_int forker;

static void *fork_on_command(void *unused)
{
	char byte;
	pthread_setname_np(pthread_self(), "forker");
	for (;;) {
		while (read(go[0], &byte, 1) != 1)
			;
		forker = gettid();
		pid_t child = vfork();
		if (child == 0) {
			write(begun[1], "b", 1);
			read(go[0], &byte, 1);
			_exit(7);
		}
		int status = -1;
		if (waitpid(child, &status, 0) != child)
			BROKEN("waitpid: %s", strerror(errno));
		byte = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		write(done[1], &byte, 1);
	}
	return unused;
}

static void *count(void *unused)
{
	for (;;) {
		counts[0]++;
		nap_ms(1);
	}
	return unused;
}

int main(void)
{
	char byte;
	pipe(go), pipe(begun), pipe(done);
	start(fork_on_command, NULL);
	start(count, NULL);
	for (const char *line; (line = command());) {
		if (is(line, "vfork")) {
			write(go[1], "g", 1);
			read(begun[0], &byte, 1);
			answer("ok %d", forker);
		} else if (is(line, "release")) {
			write(go[1], "r", 1);
			read(done[0], &byte, 1);
			answer("ok %d", byte);
		} else if (is(line, "advance")) {
			advance(1);
		} else {
			answer("err %s", line);
		}
	}
	exit(0);
}
